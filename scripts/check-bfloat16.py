"""How far rounding to bfloat16 turns the exact feedback of a WideResNet-28-2 away from its float32 value: Didact's
convolutions beside PyTorch's autocast, from the same weights, images and labels. Run by scripts/nightly.
"""

import statistics
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

import didact

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from contenders.torch_images import WideResNet  # noqa: E402

RATE, SEEDS = 0.03, range(5)
SETTINGS = {
    "feedback": "exact", "student_optimizer": {"learning_rate": RATE, "momentum": 0, "nesterov": False}, "threads": 2,
}  # fmt: skip


def gradient(x, y, u, **options):
    """Didact's, and the networks of it."""
    trainer = didact.Trainer("meta_pseudo_labels", didact.wide_resnet((32, 32, 3), 10), **SETTINGS, **options)
    return trainer, trainer.meta_gradient(x, y, u)


def torch_gradient(trainer, x, y, u, rounds):
    """Of the same networks, by double backward, by name."""
    networks = []
    for network in (trainer.teacher, trainer.student):
        module = WideResNet(10).train()
        values = {name: torch.from_numpy(np.array(value)) for name, value in network.parameters.items()}
        module.load_state_dict(values, strict=False)
        networks.append((module, dict(module.named_parameters())))
    (teacher, phi), (student, theta) = networks
    x, u = (torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() for images in (x, u))

    def logits(module, values, images):
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        return functional_call(module, {**values, **buffers}, (images,)).float()

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=rounds):
        targets = F.softmax(logits(teacher, phi, u), 1)
        loss = -(targets * F.log_softmax(logits(student, theta, u), 1)).sum(1).mean()
        first = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        moved = {name: value - RATE * change for (name, value), change in zip(theta.items(), first)}
        objective = F.cross_entropy(logits(student, moved, x), torch.from_numpy(y))
    found = torch.autograd.grad(objective, list(phi.values()))
    return {name: value.numpy() for name, value in zip(phi, found)}


def cosine(a, b):
    a, b = (np.concatenate([np.asarray(g[name], np.float64).ravel() for name in a]) for g in (a, b))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def main():
    rows = {"didact": [], "torch autocast": [], "float32 of both": []}
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        x, u = (random.standard_normal((count, 32, 32, 3)).astype(np.float32) for count in (8, 24))
        y = random.integers(0, 10, 8)
        trainer, exact = gradient(x, y, u, seed=seed)
        _, rounded = gradient(x, y, u, seed=seed, bfloat16="emulate")
        theirs = torch_gradient(trainer, x, y, u, rounds=False)
        rows["didact"].append(cosine(exact, rounded))
        rows["torch autocast"].append(cosine(theirs, torch_gradient(trainer, x, y, u, rounds=True)))
        rows["float32 of both"].append(cosine(exact, theirs))
    for name, values in rows.items():
        print(f"{name:16} cosine {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    assert min(rows["float32 of both"]) > 0.99
    assert statistics.median(rows["didact"]) > statistics.median(rows["torch autocast"]) - 0.05


if __name__ == "__main__":
    main()
