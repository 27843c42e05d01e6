"""Randomly initialised ResNets and EfficientNets of torchvision and timm give the same logits in Didact.

Run by scripts/nightly, with torch, torchvision and timm on the path.
"""

import sys
import tempfile
import types
from pathlib import Path

# PyPI's torchvision does not fit every build of torch: its operators for detection may be missing, which no model here
# uses, but the descriptions of which it wants to register.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

import didact  # noqa: E402
import numpy as np  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import torchvision.models as torchvision  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

SIZE, CLASSES = 64, 7
MODELS = [
    ("torchvision", "resnet18", didact.resnet, {"depth": 18}),
    ("torchvision", "resnet34", didact.resnet, {"depth": 34}),
    ("torchvision", "resnet50", didact.resnet, {"depth": 50}),
    ("torchvision", "efficientnet_b0", didact.efficientnet, {"variant": "b0", "epsilon": 1e-5}),
    ("torchvision", "efficientnet_b1", didact.efficientnet, {"variant": "b1", "epsilon": 1e-5}),
    ("timm", "resnet50", didact.resnet, {"depth": 50}),
    ("timm", "efficientnet_b0", didact.efficientnet, {"variant": "b0", "epsilon": 1e-5}),
    ("timm", "efficientnet_b2", didact.efficientnet, {"variant": "b2", "epsilon": 1e-5}),
]


def model_of(package, name):
    """With running statistics as of some training."""
    make = getattr(torchvision, name) if package == "torchvision" else lambda **o: timm.create_model(name, **o)
    model = make(num_classes=CLASSES).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return model


def main():
    torch.manual_seed(0)
    images = torch.randn(4, 3, SIZE, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        for package, name, specification, options in MODELS:
            model = model_of(package, name)
            path = Path(folder) / f"{package}-{name}.safetensors"
            save_file(model.state_dict(), path)
            network = didact.Network(specification((SIZE, SIZE, 3), CLASSES, **options))
            report = didact.load_pretrained(network, path)
            expected_names = "torchvision" if "resnet" in name else package
            assert report["names"] == expected_names, report["names"]
            assert not report["kept"] and not report["unused"], report
            with torch.no_grad():
                expected = model(images).numpy()
            found = network.forward(images.numpy())
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert error < 1e-4, (package, name, error)
            print(f"{package} {name}: {len(report['matched'])} tensors, logits agree to {error:.1e}")


if __name__ == "__main__":
    main()
