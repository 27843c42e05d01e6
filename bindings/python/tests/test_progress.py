"""What a fit shows while it runs: bar, table, nothing."""

import io
import re
import sys
import types

import numpy as np
import pytest

import didact
from didact import progress
from support import run_python


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def use_terminal(monkeypatch):
    """To be called within the test: pytest sets stderr after the fixtures."""

    def use():
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return use


@pytest.fixture
def bars(monkeypatch):
    """The bars that tqdm makes."""
    auto = pytest.importorskip("tqdm.auto")
    made = []

    class Recorded(auto.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(auto, "tqdm", Recorded)
    return made


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def make(method="meta_pseudo_labels", **configuration):
    if method != "supervised":
        configuration.setdefault("unlabeled_batch_size", 16)
    return didact.Trainer(method, didact.mlp(2, [4], 2), labeled_batch_size=8, **configuration)


def data():
    x, y = didact.datasets.make_two_moons(20)
    return x, np.where(np.arange(len(y)) % 4 == 0, y, -1)


def rows(text):
    """The cells of a table, whose columns must be aligned."""
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1, text
    ends = [{match.end() for match in re.finditer(r"\S+", line)} for line in lines]
    assert all(each == ends[0] for each in ends), text
    return [line.split() for line in lines]


def test_silent_by_default(capfd, use_terminal):
    terminal = use_terminal()
    make().fit(*data(), steps=20)
    assert (*capfd.readouterr(), terminal.getvalue()) == ("", "", "")


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_table(capfd, verbose):
    trainer = make()
    trainer.fit(*data(), steps=20)
    trainer.fit(*data(), steps=40, verbose=verbose)
    out, error = capfd.readouterr()
    assert error == ""
    header, *lines = rows(out)
    losses = [f"loss/{term}" for term in ("student", "supervised", "uda", "feedback")]
    assert header == ["step", *losses, "feedback", "mask_rate", "seconds"]
    assert [line[0] for line in lines] == [f"{step}/60" for step in (21, *range(24, 61, 4))]
    for line in lines:
        step = int(line[0].split("/")[0])
        for name, cell in zip(header[1:-1], line[1:]):
            assert float(cell) == pytest.approx(trainer.history[name][step - 1], rel=1e-2, abs=6e-5), (name, step)


def test_columns_are_what_the_method_reports(capfd):
    make("supervised").fit(*data(), steps=2, verbose=2)
    assert rows(capfd.readouterr().out)[0] == ["step", "loss/supervised", "seconds"]
    make(uda_weight=0).fit(*data(), steps=2, verbose=2)
    assert "loss/uda" not in rows(capfd.readouterr().out)[0]


def test_metrics_that_only_some_steps_report(capfd):
    """A line has what was reported since the last one: validations, stages of training."""
    trainer = make(steps=40, validation_fraction=0.5, validation_steps=7, finetune_steps=20)
    trainer.fit(*data(), verbose=2)
    header, *lines = rows(capfd.readouterr().out)
    assert [line[0] for line in lines] == [f"{step}/60" for step in (1, *range(6, 61, 6))]
    shown = {name: [int(line[0].split("/")[0]) for line in lines if line[index] != "-"]
             for index, name in enumerate(header)}  # fmt: skip
    assert shown["loss/student"] == shown["feedback"] == [1, 6, 12, 18, 24, 30, 36, 42]
    assert shown["loss/finetune"] == [42, 48, 54, 60]
    # The validations are at 7, 14, 21, 28, 35, 40.
    assert shown["validation/accuracy"] == [12, 18, 24, 30, 36, 42]
    last = header.index("loss/finetune")
    assert lines[-1][last] == progress._number(trainer.metrics["loss/finetune"])


def test_numbers():
    shown = [progress._number(value) for value in (0, 0.5, -12.34567, 1e-3, 9.999e-4, -1e-9, 12345.6)]
    assert shown == ["0.0000", "0.5000", "-12.3457", "0.0010", "1.00e-03", "-1.00e-09", "1.23e+04"]


def test_early_stopping(capfd, use_terminal, bars):
    """The number of steps is not known before."""
    terminal = use_terminal()
    trainer = make(
        steps=1000, validation_fraction=0.5, validation_steps=5, patience=1, finetune_steps=10,
        student_optimizer={"learning_rate": 0}, average_decay=None,
    )  # fmt: skip
    trainer.fit(*data(), verbose=1)
    assert trainer.steps == 20
    assert "20/20" in terminal.getvalue().split("\r")[-1]
    assert (bars[0].n, bars[0].total) == (20, 20)


@pytest.mark.parametrize(("steps", "lines"), [(0, 0), (1, 2), (2, 3), (10, 11), (11, 8), (1000, 12)])
def test_about_ten_lines(steps, lines, capfd):
    trainer = make("supervised")
    trainer.fit(*data(), steps=steps, verbose=2)
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == lines
    assert not lines or printed[-1].split()[0] == f"{steps}/{steps}"


def test_the_last_step_is_printed_however_a_fit_ends(capfd):
    def interrupt(now):
        if now["step"] == 37:
            raise KeyboardInterrupt

    make().fit(*data(), steps=100, verbose=2, callback=lambda now: now["step"] == 33)
    assert [line[0] for line in rows(capfd.readouterr().out)[-2:]] == ["30/100", "33/100"]
    with pytest.raises(KeyboardInterrupt):
        make().fit(*data(), steps=100, verbose=2, callback=interrupt)
    assert [line[0] for line in rows(capfd.readouterr().out)[-2:]] == ["30/100", "37/100"]


def test_the_bar(capfd, use_terminal, bars):
    terminal = use_terminal()
    trainer = make(uda_weight=0)
    trainer.fit(*data(), steps=3)
    trainer.fit(*data(), steps=40, verbose=1)
    assert capfd.readouterr().out == ""
    shown = terminal.getvalue().split("\r")[-1]
    assert "43/43" in shown
    last = trainer.metrics
    for term in ("student", "supervised", "feedback"):
        assert f"{term}={progress._number(last[f'loss/{term}'])}" in shown
    assert "uda" not in shown
    (bar,) = bars
    assert (bar.n, bar.initial, bar.total) == (43, 3, 43)
    assert bar.disable, "closed"


def stop(now):
    return now["step"] == 5


def fail(now):
    if now["step"] == 5:
        raise ZeroDivisionError


def interrupt(now):
    if now["step"] == 5:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("callback", "error"), [(stop, None), (fail, ZeroDivisionError), (interrupt, KeyboardInterrupt)]
)
def test_the_bar_is_closed_however_a_fit_ends(callback, error, use_terminal, bars):
    terminal = use_terminal()
    trainer = make()
    try:
        trainer.fit(*data(), steps=20, callback=callback, verbose=1)
        raised = None
    except BaseException as caught:  # noqa: BLE001
        raised = type(caught)
    assert raised is error
    (bar,) = bars
    assert bar.disable and bar.n == trainer.steps == 5
    assert "5/20" in terminal.getvalue().split("\r")[-1]


def test_no_bar_before_the_first_step(use_terminal, bars):
    terminal = use_terminal()
    x, y = data()
    with pytest.raises(ValueError):
        make().fit(x[:, :1], y, verbose=1)
    make().fit(x, y, steps=0, verbose=1)
    assert not bars and terminal.getvalue() == ""


def test_a_table_where_there_is_no_tqdm(capfd, use_terminal, no_tqdm):
    terminal = use_terminal()
    make().fit(*data(), steps=20, verbose=1)
    assert len(rows(capfd.readouterr().out)) == 12
    assert terminal.getvalue() == ""


def test_a_table_on_request(capfd, use_terminal, bars):
    use_terminal()
    make().fit(*data(), steps=20, verbose=2)
    assert len(rows(capfd.readouterr().out)) == 12
    assert not bars


def test_a_bar_in_a_notebook(monkeypatch, bars):
    ipython = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=None))
    assert isinstance(progress.reporter(1), progress.Table), "stderr is no terminal here"
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert isinstance(progress.reporter(1), progress.Bar)
    ipython.get_ipython = lambda: None
    assert isinstance(progress.reporter(1), progress.Table), "IPython is loaded, but this is a script"


def test_without_stderr(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    make().fit(*data(), steps=2, verbose=1)
    assert len(rows(capfd.readouterr().out)) == 3


@pytest.mark.parametrize("verbose", [3, -1, "yes", None])
def test_verbose_is_checked(verbose):
    with pytest.raises(ValueError, match="verbose must be 0, 1 or 2"):
        make().fit(*data(), steps=1, verbose=verbose)


INTERRUPTED = """
import os, signal, threading
import didact
x, y = didact.datasets.make_two_moons(100)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [8], 2), steps=10_000_000)
try:
    trainer.fit(x, y, verbose=1)
except KeyboardInterrupt:
    print(trainer.steps)
"""


def test_ctrl_c_with_a_table():
    result = run_python(INTERRUPTED, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    *table, steps = result.stdout.splitlines()
    header, first, last = rows("\n".join(table))
    assert (header[0], first[0]) == ("step", "1/10000000")
    assert int(last[0].split("/")[0]) == int(steps) - 1, "Ctrl-C comes before the callbacks of its step"
