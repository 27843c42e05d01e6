"""Generated descriptions of networks and trainers under little memory: errors, but no signal and no hang.

DIDACT_HOSTILE_CASES says how many; scripts/nightly tries 10,000.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import didact
import pytest

pytest.importorskip("resource")

HERE = Path(__file__).resolve().parent
CASES = int(os.environ.get("DIDACT_HOSTILE_CASES", "500"))
PARTS = 4


def run_part(part):
    count = CASES // PARTS
    environment = {**os.environ, "PYTHONPATH": str(Path(didact.__file__).parents[1])}
    # 1 and 2 GB of addresses.
    arguments = [str(100_000 + part * count), str(count), str(1_000_000_000 * (1 + part % 2))]
    return subprocess.run(
        [sys.executable, str(HERE / "generated_descriptions.py"), *arguments], env=environment, capture_output=True, text=True
    )


def test_no_description_ends_the_process():
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run_part, range(PARTS)))
    for result in results:
        lines = result.stdout.split()
        assert result.returncode == 0, f"case {lines[-1]}: exit code {result.returncode}\n{result.stderr[-2000:]}"
    print(f"{CASES} descriptions tried, 0 ended the process;", *(result.stdout.splitlines()[-1] for result in results))


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


def test_resizing_to_too_much_is_refused():
    network = didact.Network(didact.small_cnn((8, 8, 3), 2, width=4, stages=1))
    for size in ((1 << 24, 1 << 24), (65536, 8), (1 << 62, 1 << 62), (0, 8), (-1, 8)):
        with pytest.raises((ValueError, OverflowError)):
            network.resized(size)
    assert network.resized((16, 16)).predict_proba([[0.5] * 768]).shape == (1, 2)


def test_convolutions_take_images_up_to_a_length():
    with pytest.raises(ValueError, match="3 × 65536 pixels; convolutions take at most 16384 a side"):
        didact.Network(didact.small_cnn((3, 65536, 1), 2))
