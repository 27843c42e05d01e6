"""Loading the package: with what else is loaded, how fast, and what it says where it cannot."""

import ctypes
import ctypes.util
import importlib.util
import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import didact
from didact import _ffi
from didact._library import library, library_path
from support import CHECKOUT, run_python

# Packages that bring threads, allocators or OpenMP runtimes of their own.
NEIGHBOURS = [name for name in ("sklearn.linear_model", "torch", "scipy.linalg", "matplotlib") if
              importlib.util.find_spec(name.split(".")[0])]  # fmt: skip

USE = """
import numpy as np
trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [8], 2), seed=1)
x, y = didact.datasets.make_two_moons(50)
trainer.fit(x, y, steps=5)
print(trainer.predict_proba(x).sum().round(3), trainer.history["loss/student"][-1].hex())
"""


def orders():
    for name in NEIGHBOURS:
        yield (name, "didact")
        yield ("didact", name)
    if len(NEIGHBOURS) > 1:
        yield from itertools.islice(itertools.permutations([*NEIGHBOURS[:2], "didact"]), 1, 6, 2)


@pytest.fixture(scope="module")
def alone():
    """What the program prints with nothing else loaded."""
    result = run_python("import didact\n" + USE)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("order", list(orders()), ids=" then ".join)
def test_beside_other_packages(order, alone):
    imports = "\n".join(f"import {name}" for name in order)
    work = "np.linalg.svd(np.random.rand(50, 50))\n"
    if "torch" in order:
        work += "torch.randn(64, 64) @ torch.randn(64, 64)\n"
    if "sklearn.linear_model" in order:
        work += "sklearn.linear_model.LogisticRegression().fit(np.random.rand(20, 2), [0, 1] * 10)\n"
    result = run_python(f"{imports}\nimport numpy as np\n{work}{USE}{work}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == alone


def test_nothing_else_is_loaded():
    result = run_python(
        "import sys, numpy, json, ctypes\nbefore = set(sys.modules)\nimport didact\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert result.returncode == 0, result.stderr
    assert "didact" in result.stdout.split()
    for heavy in ("sklearn", "matplotlib", "scipy", "tqdm", "mpi4py", "torch", "pandas", "asyncio", "multiprocessing"):
        assert heavy not in result.stdout.split()


def test_versions():
    version = didact.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert library.didact_version().decode() == version
    assert library.didact_abi_version() == _ffi.DIDACT_ABI_VERSION
    info = didact.build_info()
    assert info["version"] == version
    assert {"supervised", "meta_pseudo_labels"} <= set(info["methods"])
    if (CHECKOUT / "VERSION").exists():
        assert (CHECKOUT / "VERSION").read_text().strip() == version


def test_show_versions(capsys):
    didact.show_versions()
    lines = dict(line.strip().split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["didact"] == didact.__version__
    assert str(library_path) in lines["library"]
    assert lines["numpy"] == np.__version__
    assert lines["python"] == sys.version.split()[0]


def test_a_library_that_is_not_there(tmp_path):
    missing = tmp_path / "no" / "libdidact.so"
    result = run_python("import didact", DIDACT_LIBRARY=str(missing))
    assert result.returncode == 1
    assert "ImportError" in result.stderr
    assert str(missing) in result.stderr and "$DIDACT_LIBRARY" in result.stderr
    assert "scripts/build" in result.stderr


def test_a_library_that_is_none(tmp_path):
    text = tmp_path / "libdidact.so"
    text.write_text("this is no library")
    foreign = Path(ctypes.util.find_library("m") or "libm.so.6")
    for path in (text, foreign, tmp_path):
        result = run_python("import didact", DIDACT_LIBRARY=str(path))
        assert result.returncode == 1, path
        assert "ImportError" in result.stderr and str(path) in result.stderr


def test_without_any_library(tmp_path):
    """All places that were tried are listed."""
    package = tmp_path / "checkout" / "bindings" / "python" / "src" / "didact"
    package.mkdir(parents=True)
    for source in Path(didact.__file__).parent.glob("*.py"):
        (package / source.name).write_text(source.read_text())
    (tmp_path / "checkout" / "Package.swift").write_text("")
    code = f"import sys, json; sys.path.insert(0, {json.dumps(str(package.parent))}); import didact"
    result = run_python(code, DIDACT_LIBRARY="")
    assert result.returncode == 1
    for place in (package / "_lib", tmp_path / "checkout" / "build" / "lib"):
        assert str(place) in result.stderr, result.stderr


def test_declarations_are_set():
    for name, (result, arguments) in _ffi.FUNCTIONS.items():
        function = getattr(library, name)
        assert function.restype is result and list(function.argtypes) == arguments


def test_public_names():
    for name in didact.__all__:
        assert getattr(didact, name) is not None
        if callable(getattr(didact, name)):
            assert getattr(didact, name).__doc__, name
    assert set(didact.__all__) >= {"Network", "Trainer", "SGD", "AdamW", "MovingAverage", "mlp", "datasets", "gradcheck"}
