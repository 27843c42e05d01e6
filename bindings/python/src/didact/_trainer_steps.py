"""`TrainerSteps` is the part of `Trainer` that makes single steps and tells what the steps so far have reported."""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np

from ._arrays import Slot, borrow, number, optional, optional_pointer, text
from ._errors import DidactWarning, check
from ._labels import positions
from ._library import library
from ._trainer_names import TrainerNames


class TrainerSteps(TrainerNames):
    """The steps of a `Trainer` and their metrics."""

    _columns: list[str]
    _idle_arguments: list[StepArguments]

    def step(
        self, xl: Any, yl: Any, xu: Any = None, xu_strong: Any = None, *, trusted: tuple[Any, Any] | None = None
    ) -> dict[str, float]:
        """One step. Of Meta Pseudo Labels it is `student_step`, `teacher_step` and `update_average`, bit for bit; other
        methods have no such parts.

        Parameters
        ----------
        xl : array [N, inputs]
            Labelled rows. The named columns of a data frame are put into the order of `feature_names`, which are
            those of the first frame; this holds for the other rows too.
        yl : array [N]
            A class for each of them: its position, or its name in `class_names`. Of networks that segment, masks as `fit`
            takes them.
        xu : array [M, inputs], optional
            Unlabelled rows, for methods that use them.
        xu_strong : array [M, inputs], optional
            Another view of the same rows; ``xu`` itself by default. Nothing is augmented here.
        trusted : (array [T, inputs], array [T]), optional
            Rows and labels that the feedback is measured on, for methods that have one; the labelled rows by default.

        Returns
        -------
        dict of str to float
            ``loss/<term>``, ``gradient_norm/<term>`` (terms: student, supervised, uda, feedback;
            without their weights), ``feedback`` (by how much the step lowered the student's
            labelled loss), ``mask_rate``, ``learning_rate/<student|teacher>``. A term of weight 0 is
            not computed and reads 0.
        """
        if trusted is not None:
            return self._step(library.didact_trainer_step_dataset, trusted, yl, xl=xl, xu=xu, xu_strong=xu_strong)
        named = None
        if (
            type(xl) is not np.ndarray
            or not (xu is None or type(xu) is np.ndarray)
            or not (xu_strong is None or type(xu_strong) is np.ndarray)
        ):
            (xl, xu, xu_strong), named = self._in_order(xl=xl, xu=xu, xu_strong=xu_strong)
        yl = positions(yl, name="yl", class_names=self._class_names)
        # A thread takes the descriptions out while it uses them.
        idle = self._idle_arguments
        try:
            arguments = idle.pop()
        except IndexError:
            arguments = StepArguments(len(self._columns))
        status = library.didact_trainer_step(
            self._handle.value,
            arguments.xl.borrow(xl, "xl"),
            arguments.yl.borrow(yl, "yl"),
            arguments.xu.borrow(xu, "xu"),
            arguments.xu_strong.borrow(xu_strong, "xu_strong"),
        )
        if status:
            check(status)
        if named is not None:
            self._keep_names(named)
        metrics = self._read_metrics(arguments)
        arguments.release()
        idle.append(arguments)
        return metrics

    def student_step(self, xu: Any, xu_strong: Any = None) -> dict[str, float]:
        """The student's half of a step: the teacher labels, the student learns."""
        (xu, xu_strong), named = self._in_order(xu=xu, xu_strong=xu_strong)
        xu, xu_strong = borrow(xu, "xu"), optional(xu_strong, "xu_strong")
        check(
            library.didact_trainer_student_step(
                self._handle.value, xu.pointer, optional_pointer(xu_strong)
            )
        )
        self._keep_names(named)
        return self.metrics

    def teacher_step(self, xl: Any, yl: Any, *, trusted: tuple[Any, Any] | None = None) -> dict[str, float]:
        """The teacher's half of a step, after a `student_step`. Returns the metrics of both. Takes what `step` takes.

        Where it fails, but by divergence, nothing has changed, and it can be called again.
        """
        if trusted is not None:
            return self._step(library.didact_trainer_teacher_step_dataset, trusted, yl, xl=xl)
        (xl,), named = self._in_order(xl=xl)
        xl, yl = borrow(xl, "xl"), borrow(positions(yl, name="yl", class_names=self._class_names))
        check(library.didact_trainer_teacher_step(self._handle.value, xl.pointer, yl.pointer))
        self._keep_names(named)
        return self.metrics

    def _step(self, call: Any, trusted: tuple[Any, Any], yl: Any, **rows: Any) -> dict[str, float]:
        """A step, or its half, on named arrays."""
        data, named = self._named_arrays(trusted, yl, **rows)
        check(call(self._handle.value, data.handle.value))
        self._keep_names(named)
        return self.metrics

    def update_average(self) -> None:
        """Moves the student's average; nothing where none is kept."""
        check(library.didact_trainer_update_average(self._handle.value))

    @property
    def metrics(self) -> dict[str, float]:
        """What the last step reported."""
        return self._read_metrics(StepArguments(len(self._columns)))

    def _read_metrics(self, arguments: StepArguments) -> dict[str, float]:
        status = library.didact_trainer_metrics(arguments.metrics_pointer, self._handle.value)
        if status:
            check(status)
        # NaN stands for what was not reported.
        return {name: value for name, value in zip(self._columns, arguments.metrics.tolist()) if value == value}

    @property
    def steps(self) -> int:
        """Steps completed."""
        return number(library.didact_trainer_steps, ctypes.c_int64, self._handle.value)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The metrics of every completed step, by name."""
        while True:
            steps = self.steps
            table = np.empty((steps, len(self._columns)), np.float64)
            try:
                check(library.didact_trainer_history(borrow(table).pointer, self._handle.value))
            except ValueError:
                # Another thread may have completed a step in between.
                if self.steps == steps:
                    raise
            else:
                return {name: table[:, column].copy() for column, name in enumerate(self._columns)}

    @property
    def report(self) -> dict[str, Any]:
        """What predicts together, and what the last `fit` aimed at: ``members``, of each its ``method``, ``steps`` and ``weight``
        in the prediction; ``forest``, None or its ``trees`` and ``weight``; ``class_shares``, None for those of the labels or one
        for each class; ``warnings``, of each its ``code`` and ``message``.
        """
        return json.loads(text(library.didact_trainer_report, self._handle.value))

    @property
    def warnings(self) -> list[DidactWarning]:
        """What the last `fit` found that you should know; each has a ``code`` and says what can be done.

        `fit` shows them too, as Python's warnings. None after a fit that was stopped or made only some of its steps.
        """
        found = json.loads(text(library.didact_trainer_warnings, self._handle.value))
        return [DidactWarning(warning["message"], warning["code"]) for warning in found]


class StepArguments:
    """The arguments of a step and its metrics, described to C once."""

    __slots__ = ("_borrowed", "metrics", "metrics_pointer", "xl", "xu", "xu_strong", "yl")

    def __init__(self, columns: int):
        self.xl, self.yl, self.xu, self.xu_strong = Slot(), Slot(), Slot(), Slot()
        self.metrics = np.empty(columns)
        self._borrowed = borrow(self.metrics)
        self.metrics_pointer = self._borrowed.pointer

    def release(self) -> None:
        for slot in (self.xl, self.yl, self.xu, self.xu_strong):
            slot.release()
