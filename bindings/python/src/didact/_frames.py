"""What tables bring beside their numbers: names of columns, masks, values that are missing.

Every array that a user gives passes one of two functions. `ordered` puts the named columns of a data frame into the order
that a model knows; `positional` is for places that know no names, and refuses named columns instead of taking them in
whatever order they have. Both refuse masked and missing values, naming the place. A plain NumPy array passes untouched.
"""

from __future__ import annotations

import datetime
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# How many names an error lists.
_LISTED = 5


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    # pandas.NA is equal to nothing, and asking it is an error.
    pandas = sys.modules.get("pandas")
    if value is None or (pandas is not None and value is pandas.NA):
        return True
    # A decimal NaN may be one that signals: comparing it is an error.
    if type(value).__name__ == "Decimal" and hasattr(value, "is_nan"):
        return bool(value.is_nan())
    return isinstance(value, (float, np.floating)) and bool(value != value)


def masked_place(values: Any) -> tuple[int, ...] | None:
    """The index of the first masked value of a masked array, or of a list with such arrays; None without one."""
    # Where nobody has imported this module there are no masked arrays; NumPy loads it when it is first used.
    module = sys.modules.get("numpy.ma")
    if module is None:
        return None
    if isinstance(values, module.MaskedArray):
        if values.dtype.names is not None:
            return None
        mask = module.getmaskarray(values)
        return tuple(np.argwhere(mask)[0].tolist()) if mask.any() else None
    if isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            if isinstance(value, (list, tuple, module.MaskedArray)):
                place = masked_place(value)
                if place is not None:
                    return (index, *place)
    return None


def column_names(X: Any, name: str) -> list[str] | None:
    """The names of a table's columns.

    Parameters
    ----------
    X : array or data frame
        Of pandas, polars, pyarrow or another library whose tables have ``columns`` or ``column_names``.
    name : str
        What errors call it.

    Returns
    -------
    list of str, or None
        None for what is no table, and for tables whose column labels are no text, such as 0, 1, 2.

    Raises
    ------
    TypeError
        Where only some of the labels are text, or where they have several levels.
    ValueError
        Where two columns have one name.
    """
    if type(X) is np.ndarray or not (hasattr(X, "__array__") or hasattr(X, "to_numpy")):
        return None
    found = getattr(X, "column_names", None)
    if found is None:
        found = getattr(X, "columns", None)
    if found is None or callable(found) or not hasattr(found, "__len__"):
        return None
    if getattr(found, "nlevels", 1) > 1:
        raise TypeError(
            f"{name}: the column names have {found.nlevels} levels, and a model keeps one name a column; join them: "
            "frame.columns = ['.'.join(map(str, names)) for names in frame.columns]"
        )
    names = list(found)
    texts = [isinstance(each, str) for each in names]
    if not any(texts):
        return None
    if not all(texts):
        other = names[texts.index(False)]
        raise TypeError(
            f"{name}: the column {names[texts.index(True)]!r} has text for a name and the column {other!r} has not; name "
            f"all columns by text, such as {name}.columns = {name}.columns.astype(str)"
        )
    names = [str(each) for each in names]
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        places = [index for index, each in enumerate(names) if each == twice]
        raise ValueError(f"{name}: the columns {places[0]} and {places[1]} are both called {twice!r}; rename one of them")
    return names


def plain(X: Any, name: str, columns: Sequence[str] | None = None) -> np.ndarray:
    """An ordinary array of the same values.

    Parameters
    ----------
    X : array-like
    name : str
        What errors call it.
    columns : sequence of str, optional
        The names of its columns, for errors.

    Raises
    ------
    TypeError
        Where a value is text, a date or no number in another way, for sparse matrices, and for structured arrays.
    ValueError
        Where a value is masked or NA.
    """
    if type(X) is np.ndarray:
        array = X
    else:
        place = masked_place(X)
        if place is not None:
            raise ValueError(
                f"{where(name, place, columns)} is masked, so it has no value; give one in its place, such as "
                f"{name}.filled(0), or leave the row out"
            )
        if hasattr(X, "toarray") and hasattr(X, "nnz"):
            raise TypeError(f"{name} is a sparse matrix; give {name}.toarray()")
        refuse_dates(X, name, columns)
        array = np.asarray(X)
    if array.dtype.names is not None:
        raise TypeError(
            f"{name} is a structured array with the fields {_listed(array.dtype.names)}; give a matrix, such as "
            f"numpy.lib.recfunctions.structured_to_unstructured({name}), or a data frame, whose names are kept"
        )
    if array.dtype.kind in "Mm" and array.size:
        raise _no_number(array.ravel()[0], (0,) * array.ndim, name, columns)
    return numbers(array, name, columns) if array.dtype.kind == "O" else array


def refuse_dates(X: Any, name: str, columns: Sequence[Any] | None) -> None:
    """Raises TypeError for a table with a column of dates or times, of which NumPy would make numbers in some unit."""
    if getattr(X, "ndim", 2) == 1:
        # A single column, whose values tell.
        return
    if columns is None:
        # Of a table whose labels are no text, such as 0, 1, 2.
        columns = list(getattr(X, "columns", [])) if hasattr(X, "dtypes") else []
    schema = getattr(X, "schema", None)
    types = list(getattr(X, "dtypes", None) if hasattr(X, "dtypes") else getattr(schema, "types", []))
    for column, kind in zip(columns, types):
        if str(kind).lower().startswith(("date", "time", "duration", "period", "interval")):
            raise TypeError(f"{name}, column {column!r} has dates or times ({kind}); {_NO_DATES}")


_NO_DATES = "write dates and times as numbers, such as the year, or the days since one of them"


def numbers(array: np.ndarray, name: str, columns: Sequence[str] | None = None) -> np.ndarray:
    """An array of objects as float64, or an error that names the first value that is none."""
    try:
        result = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
    else:
        _refuse_other_notations(array, name, columns)
        return result
    for index, value in enumerate(array.ravel()):
        place = np.unravel_index(index, array.shape)
        if is_missing(value):
            raise ValueError(
                f"{where(name, place, columns)} is {value}, a missing value; give a number in its place, such as the "
                "mean of the column, or leave the row out"
            )
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            raise _no_number(value, place, name, columns) from None
    raise TypeError(f"expected an array of numbers: {name}: {reason}")


# Python reads 2024_03_01 as a number, and digits of all scripts.
_PLAIN_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*|\s*[+-]?(nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)


def _refuse_other_notations(array: np.ndarray, name: str, columns: Sequence[str] | None) -> None:
    """Raises TypeError for text that Python takes for a number, and files here do not."""
    for index, value in enumerate(array.ravel().tolist()):
        if isinstance(value, (bytes, str)) and not (isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value)):
            place = where(name, np.unravel_index(index, array.shape), columns)
            raise TypeError(f"{place} is the text {value!r}, which is no number here; write plain digits, such as 1234.5")


def _no_number(value: Any, place: Sequence[Any], name: str, columns: Sequence[str] | None) -> TypeError:
    is_time = isinstance(value, (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64))
    shown = repr(value) if isinstance(value, str) or is_time else f"{type(value).__name__} {value!r}"
    ways = (
        _NO_DATES if is_time else
        "turn categories into numbers first, a column of 0 and 1 for each"
    )  # fmt: skip
    return TypeError(f"expected an array of numbers: {where(name, place, columns)} is {shown[:80]}; {ways}")


def positional(X: Any, name: str) -> np.ndarray:
    """An array for a place that knows no names of columns.

    Raises
    ------
    TypeError
        For a data frame with named columns, whose order would be taken for granted; also as `plain`.
    ValueError
        As `plain`.
    """
    if type(X) is not np.ndarray:
        names = column_names(X, name)
        if names is not None:
            raise TypeError(
                f"{name} is a data frame with the columns {_listed(names)}, and nothing here knows their order; give "
                f"{name}.to_numpy(), which states it, or use the trainer, which keeps the names"
            )
    return plain(X, name)


def ordered(X: Any, expected: Sequence[str] | None, name: str) -> np.ndarray:
    """An array whose columns are in the order that a model knows.

    Parameters
    ----------
    X : array or data frame
        Columns without names are taken by position.
    expected : sequence of str or None
        The names of the model's features; None or none for a model that knows no names.
    name : str
        What errors call ``X``.

    Raises
    ------
    ValueError
        Where a column is missing, or there is one that the model does not know; also as `plain`.
    TypeError
        As `plain`.
    """
    if type(X) is np.ndarray:
        return X
    names = column_names(X, name)
    array = plain(X, name, names)
    return array if names is None or not expected else in_order(array, names, expected, name)


def in_order(array: np.ndarray, names: Sequence[str], expected: Sequence[str], name: str) -> np.ndarray:
    """The columns called ``names`` in the order of ``expected``. Raises ValueError where they are not the same."""
    if list(names) == list(expected):
        return array
    known = set(expected)
    missing = [each for each in expected if each not in set(names)]
    extra = [each for each in names if each not in known]
    if missing or extra:
        raise ValueError(f"{name}: {_difference(missing, extra, expected)}")
    position = {each: index for index, each in enumerate(names)}
    return array[:, [position[each] for each in expected]]


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like another, if one is like it."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None


def _difference(missing: list[str], extra: list[str], expected: Sequence[str]) -> str:
    parts = []
    if missing:
        parts.append(f"the model's {'column' if len(missing) == 1 else 'columns'} {_listed(missing)} "
                     f"{'is' if len(missing) == 1 else 'are'} missing")  # fmt: skip
    if extra:
        parts.append(f"the model has no {'column' if len(extra) == 1 else 'columns'} {_listed(extra)}")
    hints = []
    for each in extra[:_LISTED]:
        categories = [name for name in expected if name.startswith(f"{each}=")]
        if categories:
            hints.append(
                f"the model takes {each!r} as columns of 0 and 1, such as {categories[0]!r}; `didact predict` makes them "
                "from a table"
            )
        elif missing and (guess := near(each, missing)) is not None:
            hints.append(f"is {each!r} meant to be {guess!r}?")
    if not hints:
        hints.append(f"the model's columns are {_listed(expected)}")
    return f"{' and '.join(parts)}; {'; '.join(hints)}"


def where(name: str, place: Sequence[Any], columns: Sequence[str] | None) -> str:
    """A place in words, such as ``X, row 3, column 1 ('width')``."""
    indices = [int(index) for index in place]
    if not indices:
        return name
    if len(indices) == 1:
        return f"{name}, row {indices[0]}"
    if len(indices) > 2:
        return f"{name}, row {indices[0]}, pixel {tuple(indices[1:])}"
    called = f" ({columns[indices[1]]!r})" if columns is not None else ""
    return f"{name}, row {indices[0]}, column {indices[1]}{called}"


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in list(names)[:_LISTED])
    return listed if len(names) <= _LISTED else f"{listed} and {len(names) - _LISTED} more"
