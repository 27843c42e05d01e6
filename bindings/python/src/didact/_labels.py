"""Labels as users write them: numbers, text, booleans, and the many ways to say that a row has none.

One rule holds for the estimator, the trainer, the plots and the splitters; CSV and NumPy files have the same in Swift.
None, NaN and NA, and a masked entry, are no label. So is the marker, -1 by default. Text needs a rule of its own, because
arrays and files turn markers into text: see the lists in `_label_words`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from ._errors import DidactWarning, warn_caller
from ._frames import is_missing, masked_place, near
from ._label_words import (
    EMPTY,
    NO_LABEL,
    finite_number,
    refuse_measurements,
    refuse_two_spellings,
    refuse_unclear,
    warn_of_classes,
    warn_of_no_label,
)

_UNSIGNED_MINUS_ONE = tuple(2**bits - 1 for bits in (8, 16, 32, 64))


class Rule(NamedTuple):
    """The rule by which labels are told from "no label", as `rule_of` decided it.

    Attributes
    ----------
    marker : int, str or None
        It does, beside None, NaN and NA; None for nothing else.
    reads_text : bool
        Whether the lists count. Where the user said ``unlabeled=None``, every text is a class.
    """

    marker: Any
    reads_text: bool


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def as_array(y: Any, name: str = "y") -> np.ndarray:
    """Labels as an array of numbers, booleans, text or objects, whose missing entries are still missing.

    Masked entries become None. Whole numbers and booleans with missing entries stay such, as objects, where NumPy would
    make floating point of them. -1 beside text in a list stays a number.

    Raises
    ------
    TypeError
        For other types, such as dates.
    """
    array = y if type(y) is np.ndarray else _converted(y)
    if array.dtype.kind == "T":
        array = array.astype(object)
    if array.dtype.kind not in "biufUO":
        raise TypeError(f"{name}: labels must be text, whole numbers or booleans, got dtype {array.dtype}")
    return array


def _converted(y: Any) -> np.ndarray:
    if masked_place(y) is not None:
        return _without_masked(y)
    if getattr(y, "ndim", 1) == 2 and hasattr(y, "iloc") and y.shape[1] == 1:
        return as_array(y.iloc[:, 0]).reshape(-1, 1)
    dtype = getattr(y, "dtype", None)
    if dtype is not None and not isinstance(dtype, np.dtype) and _is_series(y):
        # NumPy would make floating point of whole numbers beside NA.
        values = y.to_list() if hasattr(y, "to_list") else y.tolist()
        if any(is_missing(value) for value in values):
            return _objects(values)
    if getattr(y, "null_count", 0) and hasattr(y, "to_pylist"):
        # A column of Arrow's: the same.
        return _objects(y.to_pylist())
    array = np.asarray(y)
    if array.dtype.kind in "US" and dtype is None:
        # NumPy makes text of numbers beside text.
        values = np.empty(array.shape, object)
        values[...] = y
        if not all(isinstance(value, str) for value in values.ravel()):
            return values
    return array


def _is_series(y: Any) -> bool:
    """Whether it is a column of pandas or polars with a type of theirs, such as ``Int64`` or ``category``."""
    return type(y).__module__.partition(".")[0] in ("pandas", "polars")


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _without_masked(y: Any) -> np.ndarray:
    """None in the place of masked entries."""
    from numpy import ma

    if isinstance(y, ma.MaskedArray):
        array = np.array(y.data, dtype=object)
        array[ma.getmaskarray(y)] = None
        return array
    return _objects([None if isinstance(value, ma.MaskedArray) and ma.getmaskarray(value).any() else value for value in y])


def missing(y: np.ndarray) -> np.ndarray:
    """Where entries are None, NaN or NA."""
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "O":
        return np.array([is_missing(value) for value in y.ravel()], bool).reshape(y.shape)
    return np.zeros(y.shape, bool)


def equal(y: np.ndarray, marker: Any) -> np.ndarray:
    """Where labels are the marker. Text is never equal to a number."""
    if y.dtype.kind == "O":
        return np.array(
            [isinstance(value, str) == isinstance(marker, str) and not is_missing(value) and bool(value == marker)
             for value in y], bool,
        )  # fmt: skip
    if (y.dtype.kind == "U") != isinstance(marker, str):
        return np.zeros(len(y), bool)
    return y == marker


def rule_of(y: np.ndarray, unlabeled: Any) -> Rule:
    """The rule for an array of labels.

    Parameters
    ----------
    y : array [rows]
        As `as_array` gives it.
    unlabeled : "auto", None, int or str
        As in `didact.SemiSupervisedClassifier`.

    Raises
    ------
    TypeError
        Where ``unlabeled`` is of another type.
    ValueError
        Where it is the text of a number and the labels are numbers.
    """
    if isinstance(unlabeled, bool) or not isinstance(unlabeled, (type(None), str, Integral)):
        raise TypeError(f'unlabeled must be "auto", None, a whole number or text, got {unlabeled!r}')
    if unlabeled is None:
        return Rule(None, False)
    if not (isinstance(unlabeled, str) and unlabeled == "auto"):
        if isinstance(unlabeled, str) and finite_number(unlabeled) is not None and _are_numbers(y):
            raise ValueError(f"unlabeled={unlabeled!r} is text, but y holds numbers: give unlabeled={unlabeled}")
        return Rule(unlabeled, True)
    first, second = equal(y, -1), equal(y, 1)
    are_two_classes = first.any() and second.any() and (first | second | missing(y) | _is_no_label(y)).all()
    return Rule(None if are_two_classes else -1, True)


def _are_numbers(y: np.ndarray) -> bool:
    return y.dtype.kind in "iuf" or (
        y.dtype.kind == "O" and all(isinstance(value, Real) or is_missing(value) for value in y.tolist())
    )


def _is_no_label(y: np.ndarray) -> np.ndarray:
    """Where labels are a text that means none."""
    if y.dtype.kind not in "UO":
        return np.zeros(len(y), bool)
    words = {EMPTY, *NO_LABEL}
    return np.array([isinstance(value, str) and value.strip() in words for value in y], bool)


def without_label(
    y: np.ndarray, rule: Rule, name: str = "y", classes: Collection[Any] = (), has_parameter: bool = True
) -> np.ndarray:
    """Which rows have no label.

    Parameters
    ----------
    y : array [rows]
        As `as_array` gives it.
    rule : Rule
    name : str
        What messages call ``y``.
    classes : collection
        What is a class for certain, whatever it looks like.
    has_parameter : bool
        Whether the user can say ``unlabeled=...``.

    Returns
    -------
    bool array [rows]

    Raises
    ------
    ValueError
        Where a text may mean either, and where two texts are one number.

    Warns
    -----
    DidactWarning
        Of code ``"label_text"``, where a text was taken for no label.
    """
    result = missing(y)
    if rule.marker is not None:
        result = result | equal(y, rule.marker)
    if not rule.reads_text or y.dtype.kind not in "UO":
        return result
    certain = {value for value in classes if isinstance(value, str)}
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(y.tolist()):
        if isinstance(value, str) and not result[row] and value not in certain:
            rows.setdefault(value, []).append(row)
    refuse_unclear(rows, certain, name, has_parameter)
    if not certain:
        classes = {text: found for text, found in rows.items() if text.strip() not in (EMPTY, *NO_LABEL)}
        refuse_two_spellings(classes, name)
        refuse_measurements(classes, name)
        warn_of_classes(classes, name, has_parameter)
    # Blanks around a text mean nothing, as in files.
    taken = {word: found for mark in NO_LABEL for word, found in rows.items() if word.strip() == mark}
    empty = [found for word, found in rows.items() if word.strip() == EMPTY]
    for found in (*empty, *taken.values()):
        result[found] = True
    if taken:
        warn_of_no_label(taken, name, has_parameter)
    return result


def warn_of_marker(y: np.ndarray, unlabeled: Any, has_no_label: np.ndarray) -> None:
    """Warns where what means "no label" may be another than the user thinks.

    Parameters
    ----------
    y : array [rows]
        As `as_array` gives it.
    unlabeled : "auto", None, int or str
        What the user said.
    has_no_label : bool array [rows]
        As `without_label` gives it.
    """
    if unlabeled is None:
        return
    known = sorted({int(each) for each in y[~has_no_label].tolist() if isinstance(each, Integral)})
    # The largest number of so many bits, far from all others.
    if known and known[-1] in _UNSIGNED_MINUS_ONE and 2 * (known[-2] if len(known) > 1 else 0) < known[-1]:
        warn_caller(
            DidactWarning(
                f"y: the label {known[-1]} is what -1 becomes in an array of unsigned numbers; if it means no label, unlabeled="
                f"{known[-1]} says so, and unlabeled=None silences this", "label_text",
            )
        )  # fmt: skip
    if isinstance(unlabeled, str) and unlabeled == "auto":
        minus_one = equal(y, -1) & has_no_label
        known = y[~has_no_label].tolist()
        if 0 < 2 * minus_one.sum() < len(y) and all(isinstance(each, Real) for each in known) and set(known) == {0, 1}:
            warn_caller(
                DidactWarning(
                    f"y: -1 in {minus_one.sum()} of {len(y)} rows is taken for no label, beside the classes 0 and 1; "
                    "unlabeled=-1 says so and silences this, unlabeled=None makes a class of it", "label_text",
                )
            )  # fmt: skip
    elif not has_no_label.any():
        warn_caller(
            DidactWarning(
                f"y: no row has the label {unlabeled!r}, which unlabeled says means none, so that every row has a label",
                "label_text",
            )
        )


def check_repeat(known: np.ndarray, rows: int) -> None:
    """Sees whether labels repeat: if not, they are identifiers, measurements or free text.

    Parameters
    ----------
    known : array [labelled rows]
    rows : int
        How many rows there are, those without labels too.

    Raises
    ------
    ValueError
        Where more than half of 20 labels or more differ, and most rows have one.

    Warns
    -----
    DidactWarning
        Of code ``"few_labels"``, where most rows have none: there may be many classes.
    """
    distinct = len(set(known.tolist()))
    if len(known) < 20 or 2 * distinct <= len(known):
        return
    finding = f"y: {distinct} different labels in {len(known)} labelled rows, the first of them {known.tolist()[0]!r}"
    if 2 * len(known) > rows:
        raise ValueError(
            f"{finding}: an identifier, a measurement or free text is no class. Give the labels that are, or sort these into "
            "fewer classes"
        )
    warn_caller(DidactWarning(f"{finding}; check that they are classes, and label more rows of each", "few_labels"))


def class_name(label: Any) -> str:
    """The text that a model file has for a class: that of a whole number for one in floating point."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def describe(rule: Rule) -> str:
    return "None or NaN" if rule.marker is None else f"{rule.marker!r}, None or NaN"


def plain(known: np.ndarray, name: str = "y") -> np.ndarray:
    """Labels of an object array as an array of their own type. Text stays as it is.

    Raises
    ------
    TypeError
        Where they are of several types.
    ValueError
        Where a whole number has more than 64 bits.
    """
    if known.dtype.kind != "O":
        return known
    for types, dtype in (((bool, np.bool_), np.bool_), (Integral, np.int64), (Real, np.float64), (str, object)):
        if all(isinstance(value, types) for value in known.ravel()):
            if dtype is np.int64 and not all(-(2**63) <= value < 2**63 for value in known.ravel()):
                raise ValueError(f"{name}: a label has more than 64 bits; write such labels as text")
            return known.astype(dtype)
    examples = {type(value).__name__: value for value in reversed(known.ravel().tolist())}
    found = " and ".join(f"{kind} such as {str(examples[kind])[:40]!r}" for kind in sorted(examples))
    raise TypeError(f"{name}: labels must all be text, all whole numbers or all booleans, got {found}")


def positions(
    values: Any, *, name: str, missing_allowed: bool = False, class_names: Callable[[], Sequence[str]] | None = None
) -> np.ndarray:
    """Labels as the engine takes them: the position of each row's class, int64.

    Parameters
    ----------
    values : array [rows], or masks [rows, height, width]
        Whole numbers, or text of ``class_names``, one a row.
    name : str
        What errors call it.
    missing_allowed : bool
        Whether None, NaN, NA, masked entries and texts that mean no label become -1, instead of an error.
    class_names : callable, optional
        Gives the names of the classes; it is called for text alone.

    Raises
    ------
    TypeError
        For labels of other types, and for text without class names.
    ValueError
        For numbers that are not whole, and text that is no class; for a missing label where each row needs one.
    """
    if type(values) is np.ndarray and values.dtype == np.int64 and values.ndim == 1:
        return values
    # A mask for each image, as image files have them.
    if type(values) is np.ndarray and values.dtype == np.uint8 and values.ndim == 3:
        return values
    if values is None:
        raise TypeError(f"{name} is None; give a label for each row")
    array = as_array(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "U" or (array.dtype.kind == "O" and any(map(is_text, array.ravel()))):
        return _positions_of_text(array, name, missing_allowed, class_names)
    gone = missing(array)
    if gone.any() and not missing_allowed:
        # None is of a wrong type; NaN and a masked entry are numbers that are not there.
        kind = TypeError if array.dtype.kind == "O" and masked_place(values) is None else ValueError
        raise kind(f"{name}, row {np.argwhere(gone)[0][0]}: no label; leave rows without a label out")
    if array.dtype.kind == "O":
        if not missing_allowed:
            raise TypeError(f"{name}: labels must be whole numbers, got dtype {array.dtype}")
        known = plain(array[~gone], name)
        array = np.full(array.shape, -1, known.dtype if known.dtype.kind in "iuf" else np.int64)
        array[~gone] = known
    elif gone.any():
        array = np.where(gone, -1.0, array)
    if array.dtype.kind == "f":
        whole = array.astype(np.int64) if (np.abs(array) < 2.0**63).all() else None
        if whole is None or (whole != array).any():
            raise ValueError(f"{name}: labels must be whole numbers")
        return whole
    if array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name}: labels must fit into 64 bits with a sign")
    return array.astype(np.int64, copy=False)


def _positions_of_text(
    array: np.ndarray, name: str, missing_allowed: bool, class_names: Callable[[], Sequence[str]] | None
) -> np.ndarray:
    if array.ndim != 1:
        raise ValueError(f"{name} must have one entry a row, got shape {array.shape}")
    names = list(class_names()) if class_names is not None else []
    if not names:
        example = next(value for value in array.tolist() if isinstance(value, str))
        ways = (
            "give the position of each row's class" if class_names is None else
            "set trainer.class_names to the names of the classes, or use didact.SemiSupervisedClassifier, which takes "
            "text as it is"
        )  # fmt: skip
        raise TypeError(f"{name}: labels must be whole numbers, got text such as {example[:80]!r}; {ways}")
    gone = without_label(array, Rule(-1, True), name, classes=names, has_parameter=False)
    if gone.any() and not missing_allowed:
        raise ValueError(f"{name}, row {gone.argmax()}: no label; leave rows without a label out")
    known = {each: position for position, each in enumerate(names)}
    result = np.full(len(array), -1, np.int64)
    for row in np.flatnonzero(~gone).tolist():
        value = array[row]
        if not isinstance(value, str):
            raise TypeError(f"{name}, row {row}: labels must all be text or all whole numbers, got {value!r} beside text")
        if value not in known:
            guess = near(value, names)
            hint = f"did you mean {guess!r}?" if guess else f"the classes are {', '.join(map(repr, names[:5]))}"
            raise ValueError(f"{name}, row {row}: {str(value)[:80]!r} is none of the trainer's class_names; {hint}")
        result[row] = known[value]
    return result
