"""`TrainerMetaGradient` is the part of `Trainer` that computes the gradient of Meta Pseudo Labels by itself, without a
step."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ._arrays import borrow, optional, optional_pointer, whole_number
from ._errors import check
from ._labels import positions
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

        Returns
        -------
        dict of str to array
            By parameter of the teacher.
        """
        out = self.teacher._empty_flat()
        self._meta(library.didact_trainer_meta_gradient, borrow(out).pointer, xl, yl, xu, xu_strong, pseudo_labels, draw)
        return self.teacher._named(out)

    def meta_objective(
        self,
        xl: Any,
        yl: Any,
        xu: Any,
        xu_strong: Any = None,
        pseudo_labels: Any = None,
        draw: int = 0,
    ) -> float:
        """The student's labelled loss after its step, L(θ′(φ)). Changes nothing. Takes what
        `meta_gradient` takes."""
        out = ctypes.c_double()
        self._meta(library.didact_trainer_meta_objective, ctypes.byref(out), xl, yl, xu, xu_strong, pseudo_labels, draw)
        return out.value

    def _meta(self, call, out, xl, yl, xu, xu_strong, pseudo_labels, draw) -> None:
        (xl, xu, xu_strong), _ = self._in_order(xl=xl, xu=xu, xu_strong=xu_strong)
        xl, xu, xu_strong = borrow(xl, "xl"), borrow(xu, "xu"), optional(xu_strong, "xu_strong")
        yl = borrow(positions(yl, name="yl", class_names=self._class_names))
        if pseudo_labels is not None:
            pseudo_labels = borrow(positions(pseudo_labels, name="pseudo_labels", class_names=self._class_names))
        check(
            call(
                out,
                self._handle.value,
                xl.pointer,
                yl.pointer,
                xu.pointer,
                optional_pointer(xu_strong),
                optional_pointer(pseudo_labels),
                whole_number(draw, "draw", bits=64),
            )
        )
