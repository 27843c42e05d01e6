"""Studies: runs that are lines, that go on where they stopped, and whose tables come from the lines."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import didact
from didact import studies

pytest.importorskip("sklearn", minversion="1.3")

from didact.studies import __main__ as command  # noqa: E402
from didact.studies import table_data, tables  # noqa: E402


@pytest.fixture
def squares(monkeypatch):
    """A study of squares, and the runs that it measured."""
    measured = []

    def measure(run):
        measured.append((run["data"], run["seed"]))
        if run["seed"] == 13:
            raise ValueError("an unlucky number")
        return {"square": run["seed"] ** 2}

    def runs(seeds):
        return [{"data": data, "seed": seed} for seed in seeds for data in ("a", "b")]

    def report(lines):
        return " ".join(str(line["score"]["square"]) for line in sorted(lines, key=lambda line: line["run"]["seed"]))

    found = studies.Study("squares", runs, measure, report, {"data": ("a", "b")})
    monkeypatch.setattr(studies, "load", lambda name: found)
    return measured


def go(path, seeds, **options):
    with ThreadPoolExecutor(2) as executor:
        return didact.study("squares", seeds, executor, path, report=None, **options)


def test_a_finished_run_is_a_line_with_its_configuration_score_seconds_and_commit(squares, tmp_path):
    path = tmp_path / "new" / "squares.jsonl"
    assert go(path, [2, 3]) == "4 4 9 9"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert line["score"] == {"square": line["run"]["seed"] ** 2}
        assert line["seconds"] >= 0 and line["version"] == didact.__version__ and "commit" in line


def test_a_study_goes_on_where_it_stopped(squares, tmp_path):
    path = tmp_path / "squares.jsonl"
    go(path, [2])
    # What a process that was killed leaves of its last line.
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 3])
    squares.clear()
    assert go(path, [2, 3], only={"data": ["a"]}) == "4 9"
    assert squares == [("a", 3)]
    assert len(studies.read_lines(path)) == 3
    squares.clear()
    assert go(path, [2], resume=False) == "4 4"
    assert len(squares) == 2 and len(studies.read_lines(path)) == 2


def test_a_whole_last_line_without_its_end_is_kept(squares, tmp_path):
    path = tmp_path / "squares.jsonl"
    go(path, [2])
    path.write_text(path.read_text().rstrip("\n"))
    assert go(path, [2, 3]) == "4 4 9 9"
    assert len(studies.read_lines(path)) == 4


def test_a_run_that_fails_costs_no_other(squares, tmp_path):
    path = tmp_path / "squares.jsonl"
    with pytest.raises(RuntimeError, match="2 runs failed.*13.*unlucky"):
        go(path, [12, 13, 14])
    assert len(studies.read_lines(path)) == 4


def test_damaged_lines_and_unknown_choices_are_named(squares, tmp_path):
    path = tmp_path / "squares.jsonl"
    for wrong in ("{", "5", "{}", '{"run": {}}'):
        path.write_text(wrong + "\n{}\n")
        with pytest.raises(ValueError, match="squares.jsonl, line 1"):
            go(path, [2])
    # Nothing is deleted where there is nothing to measure.
    with pytest.raises(ValueError, match="no run"):
        go(path, [], resume=False)
    assert path.exists()
    with pytest.raises(ValueError, match="no .c.; there are a, b"):
        go(tmp_path / "other", [2], only={"data": ["c"]})
    with pytest.raises(ValueError, match="values of data"):
        go(tmp_path / "other", [2], only={"labels": ["c"]})


def test_workers_end_with_a_process_that_is_killed():
    script = (
        "import os, time; from concurrent.futures import ProcessPoolExecutor; from multiprocessing import get_context\n"
        "from didact import studies\n"
        "context = get_context('spawn')\n"
        "pool = ProcessPoolExecutor(1, context, studies._end_with_parent, (os.getpid(), context.Event()))\n"
        "pool.submit(os.getpid).result(); pool.submit(time.sleep, 3600); print('at work', flush=True); time.sleep(3600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"at work\n"
    process.kill()
    # The end of the pipe comes when no process has it any more.
    assert process.communicate(timeout=30)[0] == b""


def test_workers_end_with_a_study_that_is_interrupted():
    context = get_context("spawn")
    is_over = context.Event()
    with ProcessPoolExecutor(1, context, studies._end_with_parent, (os.getpid(), is_over)) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        at_work = pool.submit(time.sleep, 3600)
        is_over.set()
        assert isinstance(at_work.exception(timeout=60), BrokenExecutor)


def test_tables_from_lines_take_no_choice_of_runs(capsys, monkeypatch):
    for given in ("--resume", "--seeds=choosing", "--only=data=wine"):
        monkeypatch.setattr(sys, "argv", ["study", "tables", "--measure-nothing", given])
        with pytest.raises(SystemExit):
            command.main()
        assert "with --lines and --tables alone" in capsys.readouterr().err


def test_an_unknown_study_is_named():
    with pytest.raises(ValueError, match="no 'table'; there are tables"):
        didact.study("table")


# The study of tables


@pytest.mark.parametrize("kind, least", [("balanced", 5), ("natural", 0), ("natural2", 2)])
def test_labels_are_drawn_as_the_scheme_says(kind, least):
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    drawn = [table_data.labelled_rows(labels, kind, 5, np.random.default_rng(seed)) for seed in range(50)]
    counts = np.array([np.bincount(labels[rows], minlength=3) for rows in drawn])
    assert all(len(set(rows)) == 15 for rows in drawn)
    assert counts.min() >= least
    if kind != "balanced":
        # As the rows come: most are of the first class, and sometimes the last has none or its two.
        assert counts[:, 0].mean() > 10 and counts[:, 2].min() == least


def test_no_set_is_for_choosing_and_for_reporting():
    assert not set(table_data.CHOOSING) & set(table_data.REPORTED)
    for run in tables.runs([100, 1000]):
        assert run["data"] in (table_data.CHOOSING if run["seed"] == 100 else (*table_data.REPORTED, *table_data.MADE))
    # The book's splits 1 to 6 are for choosing, 7 to 12 for reporting.
    assert {run["seed"] for run in tables.runs(range(1000, 1040)) if run["data"] == "USPS"} == set(range(1000, 1006))


def test_test_rows_are_no_training_rows_and_hidden_labels_are_hidden():
    task = table_data.task("wine", "balanced-5", 100)
    rows = {row.tobytes() for row in task.features}
    assert not any(row.tobytes() in rows for row in task.test_features)
    assert np.bincount(task.labels[task.labels >= 0]).tolist() == [5, 5, 5]
    assert (task.labels == -1).sum() == len(task.labels) - 15
    again = table_data.task("wine", "balanced-5", 100)
    assert (again.labels == task.labels).all() and not (table_data.task("wine", "balanced-5", 101).labels == task.labels).all()


def test_every_classifier_is_scored_on_the_same_rows_and_tables_have_spread_and_control():
    names = [tables.DEFAULT, tables.SUPERVISED, tables.FOREST, "logistic regression, standardised, self-training"]
    lines = [
        {"run": run, "score": tables.measure(run)}
        for run in (
            {"data": "wine", "labels": "balanced-5", "classifier": name, "seed": seed} for name in names for seed in (100, 101)
        )
    ]
    for line in lines:
        score = line["score"]
        assert 0.6 < score["accuracy"] <= 1 and 0.6 < score["balanced_accuracy"] <= 1 and 0 < score["log_loss"] < 2
    text = tables.report(lines)
    assert "| random forest | " in text and " ± " in text
    assert "| wine | " in text and "upper 95 % bound" in text


def test_a_class_without_a_label_counts_as_wrong_with_a_finite_loss(monkeypatch):
    task = table_data.task("wine", "balanced-5", 100)
    labels = np.where(task.labels == 2, -1, task.labels)
    monkeypatch.setattr(table_data, "task", lambda *arguments: task._replace(labels=labels))
    score = tables.measure({"data": "wine", "labels": "balanced-5", "classifier": tables.FOREST, "seed": 100})
    assert score["accuracy"] < 0.8 and np.isfinite(score["log_loss"])
