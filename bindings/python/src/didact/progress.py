"""What `Trainer.fit(verbose=...)` shows: a bar or a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

_LINES = 10


def reporter(verbose: int) -> Callback | None:
    """0: none. 1: a bar on a terminal and in a notebook where tqdm is installed, else a table. 2: a table."""
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
    if verbose == 0:
        return None
    if verbose == 1 and (_is_terminal(sys.stderr) or _is_notebook()):
        try:
            from tqdm.auto import tqdm
        except ImportError:
            pass
        else:
            return Bar(tqdm)
    return Table()


class Table(Callback):
    """Prints a header, the first step, about ten more, and the last."""

    def begin(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._names = _shown(trainer)
        self._widths = [max(len(name), 10) for name in self._names]
        # Since the last line: not every step reports every metric.
        self._latest: dict[str, float] = {}
        self._first: int | None = None
        self._progress: Mapping[str, float] | None = None

    def __call__(self, progress: Mapping[str, float]) -> None:
        self._latest.update(self._trainer.metrics)
        self._progress = progress
        step = progress["step"]
        if self._first is None:
            self._first = step
            count = progress["steps"] - step + 1
            self._every = -(-count // _LINES)
            self._step_width = max(len("step"), 2 * len(str(progress["steps"])) + 1)
            self._print("step", "seconds", self._names)
            self._print_step()
        elif (step - self._first + 1) % self._every == 0 or step == progress["steps"]:
            self._print_step()

    def end(self, trainer: Trainer) -> None:
        if self._progress is not None:
            self._print_step()
        del self._trainer

    def _print_step(self) -> None:
        now, self._progress = self._progress, None
        values = [_number(self._latest[name]) if name in self._latest else "-" for name in self._names]
        self._latest.clear()
        self._print(f"{now['step']}/{now['steps']}", f"{now['seconds']:.1f}", values)

    def _print(self, step: str, seconds: str, cells: list[str]) -> None:
        aligned = [f"{cell:>{width}}" for cell, width in zip(cells, self._widths)]
        print("  ".join([f"{step:>{self._step_width}}", *aligned, f"{seconds:>8}"]), flush=True)


class Bar(Callback):
    """Moves a bar of tqdm."""

    def __init__(self, tqdm: Any):
        self._tqdm = tqdm

    def begin(self, trainer: Trainer) -> None:
        # Made at the first step: what is wrong with data is said before.
        self._bar: Any = None
        self._names = {name: name[len("loss/") :] for name in _shown(trainer) if name.startswith("loss/")}

    def __call__(self, progress: Mapping[str, float]) -> None:
        self._progress = progress
        if self._bar is None:
            step, steps = progress["step"], progress["steps"]
            # Shown whenever it is moved, and moved ten times a second, so that its losses are those of its step.
            self._bar = self._tqdm(
                total=steps, initial=step - 1, desc="fit", unit=" steps", mininterval=0, miniters=1, dynamic_ncols=True
            )
            self._move()
        elif progress["seconds"] > self._moved + 0.1:
            self._move()

    def end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._move()
            self._bar.close()

    def _move(self) -> None:
        progress = self._progress
        self._moved = progress["seconds"]
        losses = {label: _number(progress[name]) for name, label in self._names.items() if name in progress}
        self._bar.set_postfix(losses, refresh=False)
        # Early stopping and what comes after it change how many there will be.
        self._bar.total = progress["steps"]
        self._bar.update(progress["step"] - self._bar.n)


def _shown(trainer: Trainer) -> list[str]:
    """The metrics of a trainer but for gradient norms, learning rates, and losses of weight 0."""
    configuration = trainer.configuration

    def is_shown(name: str) -> bool:
        kind, _, term = name.partition("/")
        if kind == "loss":
            return configuration.get(f"{term}_weight") != 0
        return kind not in ("gradient_norm", "learning_rate")

    return [name for name in trainer._columns if is_shown(name)]


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def _is_terminal(file: Any) -> bool:
    # There is no stderr in programs without a console.
    return file is not None and file.isatty()


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
