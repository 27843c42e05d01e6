"""A fitted `SemiSupervisedClassifier` as one safetensors file.

The file is the trainer's own, which the engine and the command read and write, with one more key in its metadata:
``didact.classifier``, a JSON object that holds what the trainer does not know. docs/files.md describes it. Nothing of a
file is ever executed; whatever does not fit the trainer beside it is a ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._labels import Rule, class_name
from .trainer import Trainer

KEY = "didact.classifier"
_FORMAT = 1
_KINDS = {"text": "OU", "int": "i", "uint": "u", "bool": "b", "float": "f"}
_TYPES = {
    "text": ("object", "str"),
    "int": ("int8", "int16", "int32", "int64"),
    "uint": ("uint8", "uint16", "uint32", "uint64"),
    "bool": ("bool",),
    "float": ("float16", "float32", "float64"),
}


class Description(NamedTuple):
    """The part of a classifier that its trainer does not know."""

    parameters: dict[str, Any]
    classes: np.ndarray
    feature_names: list[str] | None
    image_shape: tuple[int, int, int] | None
    rule: Rule


# Writing


def written(description: Description) -> str:
    """The description as JSON."""
    return json.dumps(_described(description), allow_nan=False)


def _described(description: Description) -> dict[str, Any]:
    classes = description.classes
    kind = next(kind for kind, codes in _KINDS.items() if classes.dtype.kind in codes)
    dtype = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if dtype not in _TYPES[kind]:
        # A float of more bits than 64: labels are whole numbers, which need no more.
        dtype = _TYPES[kind][-1]
        classes = classes.astype(dtype)
    return {
        "format": _FORMAT,
        "parameters": {name: _plain(value, name) for name, value in description.parameters.items()},
        "classes": {"kind": kind, "dtype": dtype, "values": classes.tolist()},
        "feature_names": description.feature_names,
        "image_shape": description.image_shape and list(description.image_shape),
        "no_label": {"marker": _plain(description.rule.marker, "marker"), "reads_text": description.rule.reads_text},
    }


def _plain(value: Any, name: str) -> Any:
    """Turns a parameter into what JSON has. A tuple becomes an object with the one key ``tuple``, a dict whose keys are not
    all text one with the one key ``pairs``, and so they come back as they were."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return {"tuple": [_plain(item, name) for item in value]}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return {"pairs": [[_plain(key, name), _plain(item, name)] for key, item in value.items()]}
        return {key: _plain(item, name) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item, name) for item in value]
    raise TypeError(f"the parameter {name} is of type {type(value).__name__}, which no model file holds: {value!r}")


# Reading


def read(text: str | None, trainer: Trainer, known_parameters: Sequence[str]) -> Description:
    """Reads what a file says about the classifier to which its trainer belongs.

    Parameters
    ----------
    text : str or None
        JSON; None where a trainer or the command wrote the file.
    trainer : Trainer
        Read from the same file, by the engine, which has checked the file's form.
    known_parameters : sequence of str
        The names of the estimator's parameters.

    Raises
    ------
    ValueError
        Where the description is damaged, or does not fit the trainer.
    """
    if text is None:
        return _of_trainer(trainer)
    found = _parsed(text, KEY)
    version = found.get("format")
    if type(version) is not int or version != _FORMAT:
        raise ValueError(f"{KEY}: format {str(version)[:20]}; this version reads {_FORMAT}. Update Didact")
    _check_keys(found, ("format", "parameters", "classes", "feature_names", "image_shape", "no_label"), KEY)
    parameters = found["parameters"]
    if not isinstance(parameters, dict):
        raise ValueError(f"{KEY}: \"parameters\" must be an object, got {_shown(parameters)}")
    for name in parameters:
        if name not in known_parameters:
            raise ValueError(f"{KEY}: there is no parameter {_shown(name)}; there are {', '.join(known_parameters)}")
    method = parameters.get("method", trainer.method)
    # "auto" chooses one, or an ensemble that begins with it.
    if method not in (trainer.method, "auto"):
        raise ValueError(f"{KEY}: the method is {_shown(method)}, but the trainer's is {trainer.method!r}")
    return Description(
        {name: _restored(value) for name, value in parameters.items()},
        _classes(found["classes"], trainer),
        _feature_names(found["feature_names"], trainer),
        _image_shape(found["image_shape"], trainer),
        _rule(found["no_label"]),
    )


def _of_trainer(trainer: Trainer) -> Description:
    """Describes a classifier whose file a trainer or the command wrote."""
    if trainer.student.task != "classification":
        raise ValueError(f"the networks of the file learned {trainer.student.task}; load it with didact.Trainer.load")
    names = trainer.class_names
    if not names:
        classes = np.arange(trainer.student._class_count())
    elif all(_is_written_number(name) for name in names):
        classes = np.array([int(name) for name in names])
    elif all(_is_written_float(name) for name in names):
        classes = np.array([float(name) for name in names])
    else:
        classes = np.array(names, dtype=object)
    if len(set(names)) < len(names):
        raise ValueError(f"two classes of the file have one name: {', '.join(names[:5])}")
    inputs = trainer.configuration["network"].get("inputs")
    shape = tuple(inputs) if isinstance(inputs, list) and len(inputs) == 3 else None
    two_classes = {-1, 1} == set(classes.tolist())
    return Description(
        {"method": "auto" if trainer.members else trainer.method}, classes, trainer.feature_names or None, shape, Rule(None if two_classes else -1, True)
    )


def _is_written_number(name: str) -> bool:
    """Whether a name is a whole number of 64 bits as Python writes it."""
    digits = name[1:] if name.startswith("-") else name
    return digits.isascii() and digits.isdigit() and len(digits) < 19 and str(int(name)) == name


def _is_written_float(name: str) -> bool:
    """Whether a name is a whole number as Python writes one in floating point, such as 1.0."""
    return name.endswith(".0") and _is_written_number(name[:-2])


def _parsed(text: Any, what: str) -> dict[str, Any]:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key appears twice")
        return found

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        found = json.loads(text, object_pairs_hook=members, parse_constant=refused)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{what} is damaged: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what} is damaged: expected an object, got {_shown(found)}")
    return found


def _check_keys(found: dict[str, Any], expected: Sequence[str], what: str) -> None:
    missing = [key for key in expected if key not in found]
    strange = [key for key in found if key not in expected]
    if missing or strange:
        raise ValueError(f"{what}: " + (f"{missing[0]!r} is missing" if missing else f"unknown key {_shown(strange[0])}"))


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == ["tuple"] and isinstance(value["tuple"], list):
            return tuple(_restored(item) for item in value["tuple"])
        if list(value) == ["pairs"] and isinstance(value["pairs"], list):
            return _of_pairs(value["pairs"])
        return {key: _restored(item) for key, item in value.items()}
    return [_restored(item) for item in value] if isinstance(value, list) else value


def _of_pairs(pairs: list[Any]) -> dict[Any, Any]:
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[0], (list, dict)):
            raise ValueError(f"{KEY}: a pair of \"pairs\" must be a key and a value, got {_shown(pair)}")
    return {key: _restored(item) for key, item in pairs}


def _classes(found: Any, trainer: Trainer) -> np.ndarray:
    what = f"{KEY}: \"classes\""
    if not isinstance(found, dict):
        raise ValueError(f"{what} must be an object, got {_shown(found)}")
    _check_keys(found, ("kind", "dtype", "values"), what)
    kind, values = found["kind"], found["values"]
    types = {"text": (str,), "int": (int,), "uint": (int,), "bool": (bool,), "float": (float, int)}
    if not isinstance(kind, str) or kind not in types:
        raise ValueError(f"{what}: \"kind\" must be one of {', '.join(types)}, got {_shown(kind)}")
    if not isinstance(values, list) or len(values) != trainer.student._class_count():
        raise ValueError(f"{what}: \"values\" must list the {trainer.student._class_count()} classes of the networks")
    for value in values:
        if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise ValueError(f"{what}: {_shown(value)} is no label of kind {kind}")
    # A type of text with a length in it could ask for any amount of memory.
    dtype = found["dtype"]
    if dtype not in _TYPES[kind]:
        raise ValueError(f"{what}: \"dtype\" must be one of {', '.join(_TYPES[kind])}, got {_shown(dtype)}")
    try:
        classes = np.array(values, dtype=dtype)
        wrong = classes.ndim != 1 or classes.tolist() != values or len(set(values)) < len(values)
        wrong = wrong or (kind == "float" and not np.isfinite(classes).all())
    except (OverflowError, ValueError):
        wrong = True
    if wrong:
        raise ValueError(f"{what}: \"values\" must be different and fit their dtype")
    # A trainer without class names has the classes 0, 1 and so on.
    names = trainer.class_names or [str(index) for index in range(len(values))]
    # The command calls a class as its table does, such as 1.0.
    if any(name not in (class_name(label), str(label)) for name, label in zip(names, classes.tolist())):
        raise ValueError(f"{what}: they are not the class_names of the trainer in the file")
    return classes


def _feature_names(found: Any, trainer: Trainer) -> list[str] | None:
    if not isinstance(found, (list, type(None))) or (found or []) != trainer.feature_names:
        raise ValueError(f"{KEY}: \"feature_names\" are not those of the trainer in the file")
    return found or None


def _image_shape(found: Any, trainer: Trainer) -> tuple[int, int, int] | None:
    if found is None:
        return None
    is_shape = isinstance(found, list) and len(found) == 3 and all(type(n) is int and 0 < n < 1 << 31 for n in found)
    if not is_shape or found[0] * found[1] * found[2] != trainer.student._input_count():
        raise ValueError(
            f"{KEY}: \"image_shape\" must be height, width and channels of {trainer.student._input_count()} numbers, got "
            f"{_shown(found)}"
        )
    return tuple(found)


def _rule(found: Any) -> Rule:
    what = f"{KEY}: \"no_label\""
    if not isinstance(found, dict):
        raise ValueError(f"{what} must be an object, got {_shown(found)}")
    _check_keys(found, ("marker", "reads_text"), what)
    marker, reads_text = found["marker"], found["reads_text"]
    if isinstance(marker, bool) or not isinstance(marker, (type(None), int, str)) or not isinstance(reads_text, bool):
        raise ValueError(f"{what}: \"marker\" must be null, a whole number or text, and \"reads_text\" true or false")
    return Rule(marker, reads_text)


def _shown(value: Any) -> str:
    return repr(value)[:60]
