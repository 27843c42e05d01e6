"""The measurement behind docs/results.md, on one seed."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from support import CHECKOUT

import didact
from didact import reproduction


def test_tables_and_numbers(tmp_path):
    tables = []
    rows = ["supervised", "meta_pseudo_labels, exact", "scikit-learn LabelSpreading (7 neighbours)"]
    results = didact.reproduce(
        seeds=[100, 101], data=["two-moons"], rows=rows, output=tmp_path / "results.md", report=tables.append
    )
    assert list(results) == ["two-moons"] and list(results["two-moons"]) == rows
    exact = results["two-moons"]["meta_pseudo_labels, exact"]
    assert list(exact) == ["student", "teacher", "average", "finetuned"]
    assert all(len(values) == 2 for values in exact.values())
    supervised = results["two-moons"]["supervised"]["student"]
    assert min(exact["student"]) > 0.98 > max(supervised) > 0.7
    text = (tmp_path / "results.md").read_text()
    assert "seeds 100 to 101" in text and tables[0] in text
    gain = reproduction.difference(exact["student"], supervised)
    line = next(line for line in text.splitlines() if line.startswith("| meta_pseudo_labels, exact"))
    assert reproduction.spread(exact["student"]) in line and line.endswith(f"| {gain} |")
    # The same again.
    again = didact.reproduce(seeds=[100], data=["two-moons"], rows=["supervised"], report=None)
    assert again["two-moons"]["supervised"]["student"] == supervised[:1]


@pytest.fixture
def glyphs(tmp_path, monkeypatch):
    """A file as examples/python/glyphs.py writes it, of digits, and a training of seconds."""
    monkeypatch.setitem(reproduction.GLYPH_CHANGES, "steps", 3)
    x, y = didact.datasets.load_digits(images=True)
    arrays = {
        "X": x[:600], "y": y[:600].astype(str), "X_test": x[600:800], "y_test": y[600:800].astype(str),
        "class_names": np.arange(10).astype(str),
    }  # fmt: skip

    def write(**changes):
        kept = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
        np.savez(tmp_path / "glyphs.npz", **kept)
        return tmp_path / "glyphs.npz"

    return write


def test_glyphs_are_measured_on_request(glyphs):
    path, rows = glyphs(), ["supervised", "meta_pseudo_labels, exact"]
    results = didact.reproduce(seeds=1, data=["glyphs-4", "glyphs-25"], rows=rows, glyphs=path, report=None)
    assert list(results) == ["glyphs-4", "glyphs-25"] and list(results["glyphs-4"]) == rows
    assert list(results["glyphs-4"]["meta_pseudo_labels, exact"]) == ["student", "teacher", "average", "finetuned"]
    task = reproduction._read_glyphs(path).task(4, seed=0)
    assert np.bincount(task.labels[task.labels >= 0]).tolist() == [4] * 10 and len(task.labels) == 600
    fitted = reproduction._fitted(task, "supervised", seed=0).configuration
    assert fitted["steps"] == 3 and fitted["network"]["width"] == reproduction.GLYPH_NETWORK["width"]


def test_glyphs_need_their_file(glyphs, tmp_path):
    def measure(path):
        didact.reproduce(seeds=1, data=["glyphs-4"], rows=["supervised"], glyphs=path, report=None)

    with pytest.raises(ValueError, match=r"'glyphs-4' needs the file of glyphs: .*glyphs.py.* give glyphs=\"glyphs.npz\""):
        measure(None)
    with pytest.raises(FileNotFoundError, match="there is no file .*none.npz; make it: python examples"):
        measure(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("text.npz", "empty.npz", "one.npy"):
        with pytest.raises(ValueError, match=f"{name} is not a file that .*glyphs.py wrote: it is no .npz file of arrays"):
            measure(tmp_path / name)
    with pytest.raises(ValueError, match="glyphs.py wrote: 'class_names is not a file in the archive'|wrote: class_names is"):
        measure(glyphs(class_names=None))
    with pytest.raises(ValueError, match=r"X_test must be uint8 images .* got float64 \[3\] and labels \[200\]"):
        measure(glyphs(X_test=np.zeros(3)))
    with pytest.raises(ValueError, match="y has labels that class_names has not"):
        measure(glyphs(class_names=np.array(["0", "1"])))
    # Not by default.
    assert not set(reproduction.GLYPHS) & set(reproduction.DATA)


def test_spread():
    assert reproduction.spread([0.5, 0.7]) == "60.0 ± 10.0"
    assert reproduction.difference([0.5, 0.7], [0.4, 0.4]) == "+20.0 ± 10.0"


def test_unknown_names():
    with pytest.raises(ValueError, match="two-moons"):
        didact.reproduce(data=["moons"])
    with pytest.raises(ValueError, match="self_training"):
        didact.reproduce(rows=["selftraining"])
    with pytest.raises(TypeError, match="seeds"):
        didact.reproduce("two-moons")
    with pytest.raises(TypeError, match="data"):
        didact.reproduce(data="two-moons")
    with pytest.raises(ValueError, match="seeds"):
        didact.reproduce(seeds=[])
    with pytest.raises(ValueError, match="data asks for none of glyphs-4"):
        didact.reproduce(data=["two-moons"], glyphs="glyphs.npz")


def test_the_command_agrees():
    command = [CHECKOUT / "build/bin/didact", "reproduce", "--seeds", "1", "--data", "two-moons", "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    of_command = {row["row"]: row for row in map(json.loads, lines)}
    results = didact.reproduce(
        seeds=1, data=["two-moons"], rows=["supervised", "meta_pseudo_labels, exact"], report=None
    )["two-moons"]
    # Threads add up in another order.
    for name, row in [("supervised", "supervised"), ("meta_pseudo_labels, exact", "exact")]:
        for role, values in results[name].items():
            assert of_command[row][role] == pytest.approx(values[0], abs=0.005)
