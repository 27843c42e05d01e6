"""Generated descriptions of networks and trainers under little memory, and generated calls: errors, but no signal and no hang."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import didact
import numpy as np
import pytest
from support import HERE, HOSTILE_CASES, tried

pytest.importorskip("resource")

PARTS = 4
# Most descriptions are trained from.
DESCRIPTION_CASES = HOSTILE_CASES if HOSTILE_CASES >= 10_000 else HOSTILE_CASES // 2


def run_parts(program, cases, *arguments):
    """Divides the cases among processes; `arguments` are called with the number of a part."""
    count, environment = cases // PARTS, {**os.environ, "PYTHONPATH": str(Path(didact.__file__).parents[1])}

    def run(part):
        return subprocess.run(
            [sys.executable, str(HERE / program), str(100_000 + part * count), str(count), *(str(each(part)) for each in arguments)],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(PARTS)))
    for result in results:
        lines = result.stdout.split()
        assert result.returncode == 0, f"case {lines[-1]}: exit code {result.returncode}\n{result.stderr[-2000:]}"


def test_no_description_ends_the_process():
    # 1 and 2 GB of addresses.
    run_parts("generated_descriptions.py", DESCRIPTION_CASES, lambda part: 1_000_000_000 * (1 + part % 2))
    tried("descriptions under 1 and 2 GB of addresses", DESCRIPTION_CASES)


def test_no_call_ends_the_process():
    run_parts("generated_calls.py", HOSTILE_CASES)
    tried("calls of the C interface", HOSTILE_CASES)


@pytest.mark.parametrize(
    "description",
    [
        {"type": "mlp", "inputs": [1 << 24] * 3, "hidden": [3], "classes": 2},
        {"type": "mlp", "inputs": [1 << 24, 1 << 24, 1], "hidden": [], "classes": 2},
        {"type": "sequential", "inputs": [1000, 1000, 3], "layers": [{"type": "convolution", "outputs": 1 << 24},
                                                                     {"type": "dense", "outputs": 2}]},
    ],
)  # fmt: skip
def test_lengths_whose_product_is_too_large_are_refused(description):
    with pytest.raises(ValueError, match="are too many; at most 2147483648 are supported"):
        didact.Network(description)
    with pytest.raises(ValueError, match="are too many"):
        didact.Trainer("supervised", description)


def test_networks_have_a_limit_of_layers():
    def sequential(count):
        return {"type": "sequential", "inputs": 2, "layers": [{"type": "relu"}] * (count - 1) + [{"type": "dense", "outputs": 2}]}

    network = didact.Network(sequential(10_000))
    assert didact.Trainer.from_bytes(didact.Trainer("supervised", sequential(10_000)).to_bytes()).steps == 0
    recorded = network.record([[1.0, 2.0]])
    recorded.backward([[1.0, 0.0]])
    assert recorded.logits.shape == (1, 2)
    for too_many in (sequential(10_001), {**didact.mlp(2, [2] * 5_000, 2)}, {**didact.mlp(2, [2] * 1_000_000, 2)}):
        with pytest.raises(ValueError, match="layers; at most 10000 are supported"):
            didact.Network(too_many)


def test_a_model_that_could_not_be_saved_is_not_trained():
    layers = [{"type": "dense", "outputs": 2}] * 4000
    x, y = np.zeros((4, 2)), np.array([0, 1, -1, -1])
    trainer = didact.Trainer("supervised", {"type": "sequential", "inputs": 2, "layers": layers}, members=[{}] * 15)
    with pytest.raises(ValueError, match="the model could not be saved: the header would have .* fewer members or layers"):
        trainer.fit(x, y, steps=1)
    assert trainer.steps == 0
    trainer = didact.Trainer("supervised", didact.mlp(2, [2], 2))
    trainer.step(x[:2], y[:2])
    for names in ("class_names", "feature_names"):
        with pytest.raises(ValueError, match="names: .* bytes; a model file holds at most"):
            setattr(trainer, names, ["a" * (1 << 24), "b"])
    assert didact.Trainer.from_bytes(trainer.to_bytes()).steps == 1


def test_resizing_to_too_much_is_refused():
    network = didact.Network(didact.small_cnn((8, 8, 3), 2, width=4, stages=1))
    for size in ((1 << 24, 1 << 24), (65536, 8), (1 << 62, 1 << 62), (0, 8), (-1, 8)):
        with pytest.raises((ValueError, OverflowError)):
            network.resized(size)
    assert network.resized((16, 16)).predict_proba([[0.5] * 768]).shape == (1, 2)


def test_convolutions_take_images_up_to_a_length():
    with pytest.raises(ValueError, match="3 × 65536 pixels; convolutions take at most 16384 a side"):
        didact.Network(didact.small_cnn((3, 65536, 1), 2))
