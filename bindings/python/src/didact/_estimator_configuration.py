"""`configuration_of` makes the configuration of an estimator's trainer: a preset, changed by the estimator's parameters and
by its ``configuration``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from .trainer import preset

if TYPE_CHECKING:
    from .estimators import SemiSupervisedClassifier

# Keys of the configuration that have a parameter of their own.
_PARAMETERS = {
    "method": "method",
    "steps": "steps",
    "seed": "random_state",
    "threads": "n_jobs",
    "time_limit": "time_limit",
}


def configuration_of(estimator: SemiSupervisedClassifier, X: np.ndarray, classes: int) -> dict[str, Any]:
    """What `Trainer` is made of for checked ``X`` and so many classes."""
    given = _dotted(estimator.configuration or {})
    for key, parameter in _PARAMETERS.items():
        if key in given:
            raise ValueError(f"configuration: {key!r} is set by the parameter {parameter!r}")
    if X.ndim == 2:
        defaults = preset("table", estimator.method, X.shape[1], classes)
    else:
        lengths = (*X.shape[1:], 1)[:3]
        defaults = preset("images", estimator.method, lengths, classes, augmented=X.dtype == np.uint8)
        if estimator.hidden_layers is not None:
            raise ValueError("hidden_layers are a perceptron's; of images set configuration={'network': {...}}")
    for optimizer in ("student_optimizer.", "teacher_optimizer."):
        # The preset's values are for sgd.
        if given.get(f"{optimizer}name", "sgd") != "sgd":
            defaults = {key: value for key, value in defaults.items() if not key.startswith(optimizer)}
    network = defaults["network"]
    if estimator.hidden_layers is not None:
        network["hidden"] = list(estimator.hidden_layers)
    network.update(_network_changes(given, "network"))
    changes = _network_changes(given, "student_network")
    if changes:
        given["student_network"] = {**network, **changes}
    own = {
        "seed": int(check_random_state(estimator.random_state).randint(2**31 - 1)),
        "threads": 0 if estimator.n_jobs in (None, -1) else estimator.n_jobs,
        "time_limit": estimator.time_limit,
    }
    if estimator.steps is not None:
        own["steps"] = estimator.steps
    return {**defaults, **own, **given}


def _dotted(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; specifications of networks stay whole."""
    flat: dict[str, Any] = {}
    for key, value in configuration.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in ("network", "student_network"):
            flat.update(_dotted(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _network_changes(given: dict[str, Any], key: str) -> Mapping[str, Any]:
    """What is asked for of a specification, as a dict or key by key with dots."""
    changes = given.pop(key, {})
    if not isinstance(changes, Mapping) and not (changes is None and key == "student_network"):
        raise TypeError(f"configuration: {key!r} must be a dict such as {{\"dropout\": 0.2}}, got {changes!r}")
    dotted = [name for name in given if name.startswith(f"{key}.")]
    return {**(changes or {}), **{name.removeprefix(f"{key}."): given.pop(name) for name in dotted}}
