"""The functions of this file check what estimators are given: rows or images as ``X``, and labels as ``y``. scikit-learn
checks most of it; they add what it lets through, and say where the first bad value is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ._frames import column_names, masked_place, plain, refuse_dates, where
from ._labels import as_array, check_repeat

try:
    from sklearn.utils.validation import validate_data
except ImportError:
    # Before scikit-learn 1.6 it was a method of estimators.
    def validate_data(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
        return estimator._validate_data(X, **options)


# Rows and images


def checked(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
    """A matrix, or images of three or four dimensions.

    Raises
    ------
    ValueError
        Where a value is masked, missing or not finite, naming row and column; for other columns than those of `fit`.
    TypeError
        For structured arrays, sparse columns, and column names of which only some are text.
    """
    # scikit-learn takes what is under a mask, and two columns of one name.
    columns = column_names(X, "X")
    refuse_dates(X, "X", columns)
    if getattr(getattr(X, "dtype", None), "names", None) is not None or masked_place(X) is not None:
        plain(X, "X", columns)
    if hasattr(X, "iloc") and getattr(X, "ndim", 0) == 2 and any(type(each).__name__ == "SparseDtype" for each in X.dtypes):
        raise TypeError("X is a data frame with sparse columns, and dense data is required; give X.sparse.to_dense()")
    try:
        array = _validated(estimator, X, **options)
    except (TypeError, ValueError) as error:
        place = _unusable(X, columns)
        if place is None:
            raise
        # scikit-learn has a TypeError for NA.
        is_value = isinstance(error, ValueError) or "missing value" in place
        raise (ValueError if is_value else TypeError)(f"{error}\n{place}") from None
    if columns is not None:
        _check_names(estimator, columns, is_fit=options.get("reset", True))
    # scikit-learn lets categories and dates through.
    return plain(array, "X", columns)


def _check_names(estimator: BaseEstimator, columns: list[str], is_fit: bool) -> None:
    """scikit-learn does not see the names of every table, such as a batch of Arrow's."""
    if is_fit:
        estimator.feature_names_in_ = np.array(columns, dtype=object)
        return
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is not None and list(fitted) != columns:
        raise ValueError(
            f"X: the columns {', '.join(map(repr, columns[:5]))}{', …' if len(columns) > 5 else ''} are not those of fit, or in "
            f"another order: {', '.join(map(repr, fitted[:5]))}{', …' if len(fitted) > 5 else ''}"
        )


def _unusable(X: Any, columns: list[str] | None) -> str | None:
    """Says where the first value is that is missing, not finite or no number, for the end of scikit-learn's error. Returns
    None where there is no such value."""
    try:
        array = np.asarray(X)
    except ValueError:
        return None
    if array.ndim < 2:
        return None
    if array.dtype.kind == "O":
        try:
            array = plain(array, "X", columns)
        except (TypeError, ValueError) as error:
            return str(error)
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    place = np.argwhere(~np.isfinite(array))[0]
    return f"{where('X', place, columns)} is {array[tuple(place)]}"


def _validated(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
    if not hasattr(X, "ndim") and isinstance(X, (list, tuple)) and len(X):
        X = _listed(X)
    is_fit = options.get("reset", True)
    if getattr(X, "ndim", 2) > 4:
        raise ValueError(f"X has {X.ndim} dimensions; rows have two, images three or four")
    if getattr(X, "ndim", 2) not in (3, 4):
        X = validate_data(estimator, X, **options)
        if is_fit:
            estimator.__dict__.pop("image_shape_", None)
        return X
    # To scikit-learn the features of an image would be its height: count and check them here.
    X = validate_data(estimator, X, allow_nd=True, ensure_2d=False, **options)
    shape, fitted = (*X.shape[1:], 1)[:3], getattr(estimator, "image_shape_", None)
    if is_fit:
        if shape[0] in (1, 3) and shape[0] < shape[1] == shape[2]:
            warnings.warn(
                f"X is taken as images of {_lengths(shape)}; where its channels come first, give X.transpose(0, 2, 3, 1)",
                stacklevel=4,
            )
        estimator.image_shape_, estimator.n_features_in_ = shape, math.prod(shape)
    elif fitted is None:
        raise ValueError(
            f"X has images of {_lengths(shape)}, but {type(estimator).__name__} was fitted on rows of "
            f"{estimator.n_features_in_} columns"
        )
    elif shape != fitted:
        raise ValueError(
            f"X has images of {_lengths(shape)}, but {type(estimator).__name__} was fitted on images of {_lengths(fitted)}"
        )
    return X


def _lengths(shape: Sequence[int]) -> str:
    return "height × width × channels " + " × ".join(map(str, shape))


def _listed(X: Sequence[Any]) -> Any:
    """A list of images as an array; any other list as it is, for scikit-learn to check."""
    try:
        if np.ndim(X[0]) not in (2, 3):
            return X
    except ValueError:
        return X
    shapes = {np.shape(image) for image in X}
    if len(shapes) > 1:
        raise ValueError(
            f"X is a list of images of several sizes, such as {' and '.join(map(str, sorted(shapes)[:2]))}; "
            "resize them to one"
        )
    array = np.asarray(X)
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        raise TypeError(
            f"X is a list of images of which NumPy makes {array.dtype}; say what they are: np.array(X, np.uint8) for pixels "
            "of 0 to 255, which are augmented, or np.array(X, float) for values that are not"
        )
    return array


# Labels


def label_array(y: Any) -> np.ndarray:
    """Makes labels an array of one dimension. A column of a table is taken too, with scikit-learn's warning."""
    return column_or_1d(as_array(y), warn=True)


def check_are_classes(known: np.ndarray, rows: np.ndarray, row_count: int) -> None:
    """Raises ValueError for labels that are measurements, identifiers or free text. ``rows`` are theirs in ``y``."""
    if known.dtype.kind == "f" and (known != np.round(known)).any():
        place = int((known != np.round(known)).argmax())
        # The first words are scikit-learn's.
        raise ValueError(
            f"Unknown label type: continuous. y, row {rows[place]}: {known[place]} is not a whole number; labels are classes: "
            "sort measurements into ranges"
        )
    check_classification_targets(known)
    check_repeat(known, row_count)
