"""`check_parameters` checks an estimator's parameters; `configuration_of` makes of them the configuration of its trainer: a
preset, changed by the parameters and by their ``configuration``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .trainer import configuration_fields, preset

if TYPE_CHECKING:
    from .estimators import SemiSupervisedClassifier

# Keys of the configuration that have a parameter of their own.
_PARAMETERS = {
    "method": "method",
    "steps": "steps",
    "seed": "random_state",
    "threads": "n_jobs",
    "time_limit": "time_limit",
    "class_prior": "class_prior",
    "members": "members",
    "teachers": "teacher",
}
# Keys that no member has for itself.
_OF_ALL = ("members", "steps", "time_limit", "dtype", "class_prior", "forest_trees", "forest_weight", "seed", "threads")


def check_parameters(estimator: SemiSupervisedClassifier) -> None:
    """Raises TypeError and ValueError for parameters that no data could make right."""
    if estimator.steps is not None and not (isinstance(estimator.steps, Integral) and estimator.steps >= 1):
        raise ValueError(f"steps must be None or a whole number of at least 1, got {estimator.steps!r}")
    lengths = estimator.hidden_layers
    if lengths is not None and (isinstance(lengths, str) or not isinstance(lengths, (Sequence, np.ndarray))):
        raise TypeError(f"hidden_layers must be None or a sequence of lengths, such as (64, 64), got {lengths!r}")
    threads = estimator.n_jobs
    if threads is not None and not (isinstance(threads, Integral) and (threads > 0 or threads == -1)):
        raise ValueError(f"n_jobs must be None, -1 or a positive whole number, got {estimator.n_jobs!r}")
    if estimator.time_limit is not None and not (isinstance(estimator.time_limit, Real) and estimator.time_limit > 0):
        raise ValueError(f"time_limit must be None or a positive number of seconds, got {estimator.time_limit!r}")
    if estimator.configuration is not None and not isinstance(estimator.configuration, Mapping):
        raise TypeError(f"configuration must be a dict or None, got {estimator.configuration!r}")
    for name in ("teacher", "members"):
        if getattr(estimator, name) is not None and estimator.method != "auto":
            raise ValueError(f"{name} says what is trained; leave method at \"auto\", got {estimator.method!r}")
    if estimator.teacher is not None and estimator.members is not None:
        raise ValueError("teacher and members both say what is trained; give one of them")
    if estimator.teacher is not None and not (estimator.class_prior is None and estimator.class_weight is None):
        raise ValueError(
            "class_prior and class_weight say how often labelled rows are learned from, and a teacher's student learns from its "
            "labels alone; leave them out, or give the teacher a class_weight"
        )


def configuration_of(
    estimator: SemiSupervisedClassifier,
    X: np.ndarray,
    classes: np.ndarray,
    counts: np.ndarray,
    seed: int,
    teachers: int,
    is_trusted: bool,
) -> dict[str, Any]:
    """What `Trainer` is made of for checked ``X``, with so many labels of each class, as they weigh, so many teachers of
    scikit-learn's kind, and trusted rows or none."""
    given = _dotted(estimator.configuration or {})
    for key, parameter in _PARAMETERS.items():
        if key in given:
            raise ValueError(f"configuration: {key!r} is set by the parameter {parameter!r}")
    members = _members(estimator.members)
    if teachers:
        method = "reduced_meta_pseudo_labels"
    else:
        method = members[0][0] if members else estimator.method
        # The ensemble's other members and its trees would learn the labels that may be wrong.
        if method == "auto" and is_trusted:
            method = "meta_pseudo_labels"
    if members:
        each = [_known(_changed(given, keys), name, keys) for name, keys in members]
        # What no member knows is the first one's, which refuses it.
        first = {**{key: value for key, value in given.items() if not any(key in changes for changes in each)}, **each[0]}
    configuration = _of_method(estimator, method, X, classes, first if members else given)
    own = {
        "seed": seed,
        "threads": 0 if estimator.n_jobs in (None, -1) else estimator.n_jobs,
        "time_limit": estimator.time_limit,
    }
    if estimator.steps is not None:
        own["steps"] = estimator.steps
    if teachers > 1:
        own["teachers"] = teachers
    if members:
        own["members"] = [
            _of_member(_of_method(estimator, name, X, classes, changes), configuration)
            for (name, _), changes in zip(members[1:], each[1:])
        ]
    prior = _class_prior(estimator, classes, counts)
    if prior is not None:
        own["class_prior"] = prior
    return {**configuration, **own}


def _of_method(
    estimator: SemiSupervisedClassifier, method: str, X: np.ndarray, classes: np.ndarray, given: dict[str, Any]
) -> dict[str, Any]:
    """The preset of a method with changes, dotted keys all of them."""
    given = dict(given)
    if X.ndim == 2:
        defaults = preset("table", method, X.shape[1], len(classes))
    else:
        lengths = (*X.shape[1:], 1)[:3]
        defaults = preset("images", method, lengths, len(classes), augmented=X.dtype == np.uint8)
        if estimator.hidden_layers is not None:
            raise ValueError("hidden_layers are a perceptron's; of images set configuration={'network': {...}}")
    for optimizer in ("student_optimizer.", "teacher_optimizer."):
        # The preset's values are for sgd.
        if given.get(f"{optimizer}name", "sgd") != "sgd":
            defaults = {key: value for key, value in defaults.items() if not key.startswith(optimizer)}
    changes = _network_changes(given, "network")
    if changes.get("type", defaults["network"]["type"]) != defaults["network"]["type"]:
        # A network of another kind has nothing of the preset's but where it begins and ends.
        inputs = defaults["network"]["inputs"]
        ends = {} if changes["type"] == "sequential" else {"classes": len(classes)}
        defaults["network"] = {"inputs": inputs, **ends}
    network = defaults["network"]
    if estimator.hidden_layers is not None:
        network["hidden"] = list(estimator.hidden_layers)
    network.update(changes)
    changes = _network_changes(given, "student_network")
    if changes:
        given["student_network"] = {**network, **changes}
    return {**defaults, **given}


def _changed(given: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """Changes with others in their place; those of a network go together."""
    networks = {
        name: {**given[name], **keys[name]}
        for name in ("network", "student_network")
        if isinstance(given.get(name), Mapping) and isinstance(keys.get(name), Mapping)
    }
    return {**given, **keys, **networks}


def _known(given: dict[str, Any], method: str, own: dict[str, Any]) -> dict[str, Any]:
    """The changes that a method has keys for, and its own, which may be wrong and then are refused."""
    keys = {field["key"] for field in configuration_fields(method)}
    return {
        key: value for key, value in given.items() if key in keys or key in own or key.startswith(("network", "student_network"))
    }


def _of_member(configuration: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """What a member has for itself: not the keys of all, nor a network that is the first one's."""
    own = {key: value for key, value in configuration.items() if key not in _OF_ALL}
    for name in ("network", "student_network"):
        if own.get(name) == first.get(name):
            own.pop(name, None)
    return own


def _members(members: Any) -> list[tuple[str, dict[str, Any]]]:
    """The method of each member, and keys of its configuration."""
    if members is None:
        return []
    if isinstance(members, (str, Mapping)) or not isinstance(members, (list, tuple)) or not members:
        raise TypeError(
            f"members must be a list of methods or of dicts with a method, such as [\"supervised\"], got {members!r}"
        )
    found = []
    for position, member in enumerate(members):
        keys = {"method": member} if isinstance(member, str) else member
        if not isinstance(keys, Mapping) or not isinstance(keys.get("method"), str):
            raise TypeError(f"members[{position}] must be a method or a dict with a method, got {member!r}")
        keys = _dotted(keys)
        shared = [key for key in keys if key in _OF_ALL or key in _PARAMETERS and key != "method"]
        if shared:
            raise ValueError(f"members[{position}]: {shared[0]!r} is the same for all members; it is no member's own")
        found.append((keys.pop("method"), keys))
    return found


def _class_prior(estimator: SemiSupervisedClassifier, classes: np.ndarray, counts: np.ndarray) -> str | list[float] | None:
    """The key ``class_prior`` for the estimator's ``class_prior`` or ``class_weight``; None for the preset's."""
    prior, weight = estimator.class_prior, estimator.class_weight
    if prior is not None and weight is not None:
        raise ValueError("class_prior and class_weight both say how often a class counts; give one of them")
    if weight is None:
        if prior is None or isinstance(prior, str):
            if prior not in (None, "none", "labels", "estimate"):
                raise ValueError(f"class_prior must be 'none', 'labels', 'estimate', or a share for each class; got {prior!r}")
            return prior
        return _for_each_class(prior, classes, "class_prior", otherwise=None)
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f"class_weight must be 'balanced' or a dict of weights; got {weight!r}")
        return [1.0] * len(classes)
    if not isinstance(weight, Mapping):
        raise TypeError(f"class_weight must be 'balanced' or a dict such as {{0: 1.0, 1: 5.0}}; got {weight!r}")
    weights = _for_each_class(weight, classes, "class_weight", otherwise=1.0)
    return [weight * float(count) for weight, count in zip(weights, counts)]


def _for_each_class(given: Any, classes: np.ndarray, name: str, otherwise: float | None) -> list[float]:
    """Numbers in the order of ``classes``, from a dict by label or a sequence in that order."""
    labels = classes.tolist()
    if isinstance(given, Mapping):
        strangers = [label for label in given if label not in labels]
        missing = [label for label in labels if label not in given]
        if strangers or (missing and otherwise is None):
            what = f"names {strangers[0]!r}, which is no label" if strangers else f"has nothing for the class {missing[0]!r}"
            raise ValueError(f"{name} {what}; the labels are {', '.join(map(repr, labels[:10]))}")
        given = [given.get(label, otherwise) for label in labels]
    numbers = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    if len(numbers) != len(labels):
        raise ValueError(f"{name} has {len(numbers)} numbers for {len(labels)} classes")
    for label, number in zip(labels, numbers):
        if not isinstance(number, Real) or not 0 <= number < np.inf:
            raise ValueError(f"{name}, class {label!r}: must be a number of at least 0; got {number!r}")
    if not any(numbers):
        raise ValueError(f"{name} is 0 for every class")
    return [float(number) for number in numbers]


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
