"""The step of a WideResNet-28-2 in PyTorch: as shipped, channels last, and in bfloat16."""

import torch
import torch.nn.functional as F
from contenders import problem as common
from contenders.torch_step import ModuleTorchStep
from torch import nn


def convolution(inputs, outputs, size=3, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), convolution(inputs, outputs, stride=stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), convolution(outputs, outputs)
        if inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        h = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(h))))
        return y + (self.shortcut(h) if hasattr(self, "shortcut") else x)


class WideResNet(nn.Module):
    """28-2, with the names of Didact's parameters."""

    def __init__(self, classes):
        super().__init__()
        self.conv0 = convolution(3, 16)
        inputs = 16
        for group in range(3):
            outputs = 32 << group
            blocks = {f"block{b}": Block(outputs if b else inputs, outputs, 2 if group and not b else 1) for b in range(4)}
            self.add_module(f"group{group}", nn.ModuleDict(blocks))
            inputs = outputs
        self.bn, self.dense = nn.BatchNorm2d(inputs), nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv0(x)
        for group in (self.group0, self.group1, self.group2):
            for block in group.values():
                x = block(x)
        return self.dense(F.relu(self.bn(x)).mean((2, 3)))


class TorchImageStep(ModuleTorchStep):
    """As shipped: channels first."""

    memory_format = torch.contiguous_format
    losses = ModuleTorchStep.losses

    def tensor(self, array):
        found = torch.from_numpy(array)
        if found.ndim < 4:
            return found
        return found.permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)

    def module(self, problem, values):
        network = WideResNet(problem.classes)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in values.items()}, strict=False)
        return network.to(memory_format=self.memory_format)

    def memory(self):
        return common.peak_memory(self)


class ChannelsLast(TorchImageStep):
    memory_format = torch.channels_last


class Bfloat16(ChannelsLast):
    def __call__(self, labels=None):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().__call__(labels)

    def losses(self, labels):
        return [self(torch.from_numpy(given)) for given in labels]
