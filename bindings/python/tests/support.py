"""What several test files share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import didact

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
FIXTURES = HERE / "fixtures"
# The scalar functions of layers, from the library.
ACTIVATIONS = next(
    json.loads(f"[{field['accepts']}]")
    for field in didact.configuration_fields("reduced_meta_pseudo_labels")
    if field["key"] == "corrector_activation"
)
FEEDBACKS = ("exact", "gradient_dot", "loss_difference")


# How many generated inputs a test tries; scripts/nightly tries 10,000.
HOSTILE_CASES = int(os.environ.get("DIDACT_HOSTILE_CASES", "500"))


def tried(what: str, count: int) -> None:
    """A line of the table of scripts/nightly: so many were tried, and none failed."""
    if path := os.environ.get("DIDACT_TRIED"):
        with open(path, "a") as file:
            file.write(f"{what:<60} {count:>8}\n")


def flat(arrays) -> np.ndarray:
    """A dict of arrays as one float64 vector, in its order."""
    return np.concatenate([np.asarray(value, np.float64).ravel() for value in arrays.values()])


def set_all(target, values) -> None:
    """Copies a dict of arrays into a mapping of views with the same names."""
    assert set(values) == set(target), (sorted(values), sorted(target))
    for name, value in values.items():
        target[name] = value


def snapshot(trainer: didact.Trainer) -> dict[str, np.ndarray]:
    """A copy of everything about a trainer that training changes."""
    state = {"steps": np.array(trainer.steps)}
    roles = [("student", trainer.student, trainer.student_optimizer)]
    if trainer.method != "supervised":
        roles.append(("teacher", trainer.teacher, trainer.teacher_optimizer))
    if trainer.average is not None:
        roles.append(("average", trainer.average, None))
    for role, network, optimizer in roles:
        parts = {"parameters": network.parameters, "statistics": network.statistics}
        if optimizer is not None:
            parts["optimizer"] = optimizer.state
            state[f"{role}/learning_rate"] = np.array(optimizer.learning_rate)
        for part, arrays in parts.items():
            for name, array in arrays.items():
                state[f"{role}/{part}/{name}"] = array.copy()
    for name, values in trainer.history.items():
        state[f"history/{name}"] = values
    return state


def assert_same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert list(left) == list(right)
    different = [name for name in left if not same_bits(left[name], right[name])]
    assert not different, f"these differ: {different}"


def same_bits(left, right) -> bool:
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def run_python(code: str, *arguments: str, timeout: float = 120, **environment: str):
    """Runs a program in a fresh interpreter that finds the same package and library as this one."""
    path = [str(Path(didact.__file__).parents[1]), str(HERE)]
    if os.environ.get("PYTHONPATH"):
        path.append(os.environ["PYTHONPATH"])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
    )
