"""The measurement behind docs/results.md, on one seed."""

from __future__ import annotations

import json
import subprocess

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
