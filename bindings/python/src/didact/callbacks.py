"""What `Trainer.fit(callback=...)` can call beside functions of one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ._arrays import whole_number
from ._frames import column_names, in_order, plain
from ._labels import as_array, is_text, missing, positions

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """A callback that is told where a fit begins and ends. To be derived from; a plain function does without."""

    def begin(self, trainer: Trainer) -> None:
        """Called before the first step of a fit."""

    def __call__(self, progress: Mapping[str, float]) -> Any:
        """Called after every step with the dict that `Trainer.fit` describes. Returning anything true stops the fit."""

    def end(self, trainer: Trainer) -> None:
        """Called however a fit ends: by its last step, a callback, an exception or Ctrl-C."""


class JSONLines(Callback):
    """Writes a JSON object a line: ``step``, ``steps``, ``seconds`` and what the step reported, as `Trainer.metrics`.

    Parameters
    ----------
    file : path or text file
        A path is appended to, and closed when the fit ends; a file stays open.
    every : int
        How many steps apart lines are. The last step has one too, unless the fit was stopped before.
    """

    def __init__(self, file: str | os.PathLike | IO[str], every: int = 1):
        self._target = file
        self._every = _period(every)
        self._file: IO[str] | None = file if hasattr(file, "write") else None

    def begin(self, trainer: Trainer) -> None:
        self._trainer = trainer
        if self._file is None:
            # Line by line, so that others can read along.
            self._file = open(self._target, "a", buffering=1, encoding="utf-8")

    def __call__(self, progress: Mapping[str, float]) -> None:
        if _is_due(progress, self._every):
            where = {name: progress[name] for name in ("step", "steps", "seconds")}
            self._file.write(json.dumps({**where, **self._trainer.metrics}) + "\n")

    def end(self, trainer: Trainer) -> None:
        del self._trainer
        if self._file is not self._target:
            self._file.close()
            self._file = None


class Checkpoint(Callback):
    """Saves the trainer now and then, so that a process that is killed loses no more than that.

    `Trainer.load` reads the file, and `Trainer.fit` on the same rows goes on from it as if it had never stopped. A save
    completes or leaves the last one.

    Parameters
    ----------
    path : path
        Of the file, which each save replaces.
    seconds : float
        At least so many between two saves. There is none at the end: save the trainer itself.

    Raises
    ------
    ValueError
        For seconds that are not positive.
    """

    def __init__(self, path: str | os.PathLike, seconds: float = 600.0):
        if not seconds > 0:
            raise ValueError(f"seconds must be positive, got {seconds!r}")
        self._path = path
        self._seconds = seconds

    def begin(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._last = 0.0

    def __call__(self, progress: Mapping[str, float]) -> None:
        if progress["seconds"] - self._last >= self._seconds:
            self._trainer.save(self._path)
            self._last = progress["seconds"]

    def end(self, trainer: Trainer) -> None:
        del self._trainer


class PseudoLabelAccuracy(Callback):
    """Records during a fit how sure a trainer's networks are of some rows, and how often they are right: of the
    teacher, that is the quality of its pseudo-labels. `didact.plot.pseudo_labels` draws it.

    Parameters
    ----------
    X : array [N, inputs]
        Rows as `Trainer.fit` takes them, such as the unlabelled ones; a data frame too.
    y_true : array [N]
        The class of each row, 0 to classes - 1, or its name in `Trainer.class_names`; -1, None or NaN where it is
        unknown, which counts for the confidence alone.
    every : int
        How many steps apart records are. The first and the last step have one too, unless the fit was stopped before.

    Attributes
    ----------
    history : dict of str to array [records]
        ``step``, and ``accuracy/<network>`` and ``confidence/<network>`` for the networks of `Trainer.roles`; NaN at steps before there was one. The confidence is the mean over rows
        of the largest probability.
    """

    def __init__(self, X: Any, y_true: Any, every: int = 50):
        self._names = column_names(X, "X")
        self._rows = np.asarray(plain(X, "X", self._names), np.float64)
        labels = as_array(y_true, "y_true")
        # Only the trainer knows which class a text is.
        self._has_text = any(map(is_text, labels.ravel().tolist()))
        if not self._has_text:
            labels = positions(labels, name="y_true", missing_allowed=True)
            if (labels < -1).any():
                raise ValueError(f"y_true: {labels.min()} is neither a class nor -1")
        self._labels = labels
        self._every = _period(every)
        if labels.shape != self._rows.shape[:1]:
            raise ValueError(f"y_true has shape {labels.shape}, but X has {len(self._rows)} rows")
        if (missing(labels) if self._has_text else labels < 0).all():
            raise ValueError("y_true: at least one row must have a class")
        self._records: list[dict[str, float]] = []

    @property
    def history(self) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for record in self._records for name in record)
        return {name: np.array([record.get(name, np.nan) for record in self._records]) for name in names}

    def begin(self, trainer: Trainer) -> None:
        if trainer.student.task != "classification":
            raise ValueError(f"PseudoLabelAccuracy looks at a class a row; the networks learn {trainer.student.task}")
        classes = trainer.student._class_count()
        self._y = positions(
            self._labels, name="y_true", missing_allowed=True, class_names=lambda: trainer.class_names
        )
        self._known = self._y >= 0
        if not self._known.any():
            raise ValueError("y_true: at least one row must have a class")
        expected = trainer.feature_names
        is_named = self._names is not None and expected
        self._X = in_order(self._rows, self._names, expected, "X") if is_named else self._rows
        if self._y.max() >= classes:
            raise ValueError(f"y_true: {self._y.max()} is none of the {classes} classes, 0 to {classes - 1}")
        self._trainer = trainer
        self._begun = False

    def __call__(self, progress: Mapping[str, float]) -> None:
        if self._begun and not _is_due(progress, self._every):
            return
        self._begun = True
        record: dict[str, float] = {"step": progress["step"]}
        for role in self._trainer.roles:
            probabilities = self._trainer.predict_proba(self._X, role)
            correct = probabilities.argmax(axis=1)[self._known] == self._y[self._known]
            record[f"accuracy/{role}"] = float(correct.mean())
            record[f"confidence/{role}"] = float(probabilities.max(axis=1).mean(dtype=np.float64))
        self._records.append(record)

    def end(self, trainer: Trainer) -> None:
        del self._trainer


def _period(every: int) -> int:
    if whole_number(every, "every") < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    return int(every)


def _is_due(progress: Mapping[str, float], every: int) -> bool:
    return progress["step"] % every == 0 or progress["step"] == progress["steps"]
