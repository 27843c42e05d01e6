"""`TrainerMetaGradient` is the part of `Trainer` that computes the gradient of Meta Pseudo Labels by itself, without a
step."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ._arrays import borrow, number, whole_number
from ._errors import check
from ._library import library
from ._trainer_names import TrainerNames


class TrainerMetaGradient(TrainerNames):
    """The meta-gradient of a `Trainer`, and the objective that it is the gradient of."""

    def meta_gradient(
        self,
        xl: Any,
        yl: Any,
        xu: Any,
        xu_strong: Any = None,
        pseudo_labels: Any = None,
        draw: int = 0,
        *,
        trusted: tuple[Any, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """The gradient of `meta_objective` with respect to the teacher's parameters: the feedback
        alone, without weight or baseline. Changes nothing.

        Parameters
        ----------
        xl, yl, xu, xu_strong
            As in `step`.
        pseudo_labels : array [M], optional
            A class for each unlabelled row in place of sampled ones; not for exact feedback.
        draw : int
            Which dropout masks and samples.
        trusted : (array [T, inputs], array [T]), optional
            Rows and labels of the student's loss; ``xl`` and ``yl`` by default.

        Returns
        -------
        dict of str to array
            By parameter of the teacher.
        """
        out = self.teacher._empty_flat()
        data, _ = self._named_arrays(trusted, yl, pseudo_labels, xl=xl, xu=xu, xu_strong=xu_strong)
        draw = whole_number(draw, "draw", bits=64)
        check(
            library.didact_trainer_meta_gradient_dataset(
                borrow(out).pointer, self._handle.value, data.handle.value, draw
            )
        )
        return self.teacher._named(out)

    def meta_objective(
        self,
        xl: Any,
        yl: Any,
        xu: Any,
        xu_strong: Any = None,
        pseudo_labels: Any = None,
        draw: int = 0,
        *,
        trusted: tuple[Any, Any] | None = None,
    ) -> float:
        """The student's labelled loss after its step, L(θ′(φ)). Changes nothing. Takes what
        `meta_gradient` takes."""
        data, _ = self._named_arrays(trusted, yl, pseudo_labels, xl=xl, xu=xu, xu_strong=xu_strong)
        draw = whole_number(draw, "draw", bits=64)
        return number(
            library.didact_trainer_meta_objective_dataset, ctypes.c_double, self._handle.value, data.handle.value, draw
        )
