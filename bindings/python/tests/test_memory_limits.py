"""What needs more memory than a control group has is refused, where the system would end the process without a word."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support import CHECKOUT

GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def control_group(megabytes):
    """A group with a limit of memory. Skips where this user may not make one."""
    name = f"didact-{os.getpid()}"
    first, second = GROUPS / "memory" / name, GROUPS / name
    group, limit = (first, "memory.limit_in_bytes") if first.parent.is_dir() else (second, "memory.max")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (group / limit).write_text(str(megabytes << 20))
        except OSError as error:
            pytest.skip(f"no limit of memory can be set here: {error}")
        yield group
    finally:
        group.rmdir()


def run(group, *command):
    """Runs a command in the group, from its first instruction on."""
    entered = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *map(str, command)]
    return subprocess.run(entered, capture_output=True, text=True, timeout=300)


SCRIPT = """
import sys
import numpy as np
import didact

what, rows = sys.argv[1], int(sys.argv[2])
if what == "fit":
    x, y = np.zeros((rows, 1), np.uint8), np.full(rows, -1, np.int64)
    x[:4], y[:4] = [[0], [1], [0], [1]], [0, 1, 0, 1]
    call = lambda: didact.Trainer("supervised", didact.mlp(1, [2], 2)).fit(x, y, steps=1)
elif what == "step":
    x, y = np.zeros((rows, 64), np.uint8), np.zeros(rows, np.int64)
    call = lambda: didact.Trainer("supervised", didact.mlp(64, [64], 2)).step(x, y)
else:
    call = lambda: didact.Network(didact.mlp(rows, [1000], 2))
try:
    call()
except MemoryError as error:
    print(error)
    # A smaller call has room.
    didact.Trainer("supervised", didact.mlp(1, [2], 2)).fit([[0.0], [1.0], [0.0], [1.0]], [0, 1, 0, 1], steps=1)
    print("refused")
else:
    print("done")
"""


@pytest.mark.parametrize(
    "what, small, large",
    [("fit", 100_000, 12_000_000), ("step", 10_000, 2_000_000), ("network", 10_000, 200_000)],
)
def test_calls_that_need_more_than_the_group_has_are_refused(what, small, large, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    with control_group(400) as group:
        found = run(group, sys.executable, "-W", "ignore", tmp_path / "script.py", what, small)
        assert found.returncode == 0 and found.stdout == "done\n", found
        found = run(group, sys.executable, "-W", "ignore", tmp_path / "script.py", what, large)
        assert found.returncode == 0, found
        assert "could not allocate" in found.stdout and found.stdout.endswith("refused\n"), found


def test_files_that_need_more_than_the_group_has_are_refused(tmp_path):
    didact = CHECKOUT / "build" / "bin" / "didact"
    rows = 30_000_000
    np.savez_compressed(tmp_path / "labels.npz", X=np.zeros((rows, 1), np.uint8), y=np.zeros(rows, np.int8))
    (tmp_path / "commas.csv").write_bytes(b"," * 100_000_000)
    (tmp_path / "identifiers.csv").write_text(
        "size,kind\n" + "".join(f"{row},name{row:09}\n" for row in range(2_000_000))
    )
    expected = {
        "labels.npz": "could not allocate", "commas.csv": "more than 1000000 columns",
        "identifiers.csv": "more than 100000 different labels",
    }  # fmt: skip
    with control_group(400) as group:
        for name, message in expected.items():
            found = run(group, didact, "train", "--data", tmp_path / name, "--steps", 1, *(
                ["--label-column", "kind"] if name == "identifiers.csv" else []
            ))  # fmt: skip
            assert found.returncode > 0 and message in found.stderr, (name, found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of addresses are kept on Linux alone")
def test_text_of_a_configuration_is_counted_before_it_is_read():
    """Its values take many times as much as the text."""
    script = (
        "import resource, didact\n"
        "resource.setrlimit(resource.RLIMIT_AS, (600_000_000,) * 2)\n"
        "from didact._library import library\n"
        "import ctypes\n"
        "out = ctypes.c_void_p()\n"
        "print(library.didact_status_name(library.didact_trainer_create(ctypes.byref(out), b'[' + b'[],' * 7_000_000 + b'1]')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT / "bindings" / "python" / "src")})
    assert (done.returncode, done.stdout) == (0, "b'DIDACT_EMEMORY'\n"), done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of addresses are kept on Linux alone")
def test_a_history_that_memory_cannot_hold_ends_the_training_with_a_model(tmp_path):
    model = tmp_path / "model.safetensors"
    train = [CHECKOUT / "build" / "bin" / "didact", "train", "--data", "two-moons", "--labels", "4", "--method", "supervised", "--hidden", "1", "--set", "labeled_batch_size=2",
             "--set", "threads=1", "--steps", "1000000000", "--checkpoint-seconds", "0", "--model", model]  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 100000 && exec "$@"', "sh", *map(str, train)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and "could not allocate" in done.stderr and f"Wrote {model}, as after step" in done.stderr, done.stderr
