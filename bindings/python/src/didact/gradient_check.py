"""The meta-gradient against finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .trainer import Trainer


@dataclass(frozen=True)
class GradientCheck:
    """What `gradcheck` found.

    Attributes
    ----------
    error : float
        The largest |finite difference − ⟨G, d⟩| / ‖G‖ over the directions d.
    norm : float
        ‖G‖.
    errors : list of float
        For each direction, G / ‖G‖ first.
    tolerance : float
    """

    error: float
    norm: float
    errors: list[float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """The gradient is not zero, and agrees."""
        return self.norm > 0 and self.error <= self.tolerance

    def __bool__(self) -> bool:
        return self.passed


def gradcheck(
    trainer: Trainer,
    xl: Any,
    yl: Any,
    xu: Any,
    xu_strong: Any = None,
    draw: int = 0,
    directions: int = 10,
    step_sizes: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-5),
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientCheck:
    """Compares `Trainer.meta_gradient` with central differences of `Trainer.meta_objective`, along
    the gradient itself and random unit directions, taking the best of several step sizes.

    The teacher's parameters are moved and put back. Activations should be smooth: at the kink of a
    ReLU a finite difference is no derivative.

    Parameters
    ----------
    trainer : Trainer
        With ``dtype="float64"`` and ``feedback="exact"``: the gradients for sampled labels are those
        of an expectation, which one draw does not show.
    xl, yl, xu, xu_strong, draw
        As in `Trainer.meta_gradient`.
    directions : int
        How many random ones.
    """
    if trainer.configuration["dtype"] != "float64":
        raise ValueError("gradcheck needs dtype='float64': float32 rounds finite differences away")
    if trainer.configuration["feedback"] != "exact":
        raise ValueError("gradcheck is for feedback='exact'; sampled labels are a step function of the teacher")
    network = trainer.teacher
    arguments = (xl, yl, xu, xu_strong, None, draw)
    gradient = network._flat(trainer.meta_gradient(*arguments), "gradient")
    norm = float(np.linalg.norm(gradient))
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((directions, gradient.size))
    units = [gradient / norm] if norm > 0 else []
    units += [direction / np.linalg.norm(direction) for direction in drawn]
    start = network._flat(dict(network.parameters), "parameters")

    def objective(values: np.ndarray) -> float:
        for name, part in network._named(values).items():
            network.parameters[name] = part
        return trainer.meta_objective(*arguments)

    errors = []
    try:
        for direction in units:
            slopes = [
                (objective(start + h * direction) - objective(start - h * direction)) / (2 * h)
                for h in step_sizes
            ]
            expected = float(gradient @ direction)
            best = min(abs(slope - expected) for slope in slopes)
            errors.append(best / norm if norm > 0 else float("inf"))
    finally:
        for name, part in network._named(start).items():
            network.parameters[name] = part
    return GradientCheck(error=max(errors), norm=norm, errors=errors, tolerance=tolerance)
