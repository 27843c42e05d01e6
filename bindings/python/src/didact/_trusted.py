"""Trusted rows of `SemiSupervisedClassifier.fit`: checked, and their labels as positions among the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._labels import Rule, plain, without_label
from ._validation import checked, label_array


def trusted_rows(
    estimator: Any, X: Any, y: Any, classes: np.ndarray, rule: Rule
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Rows and labels as the engine takes them; None and None where there are none.

    Parameters
    ----------
    estimator : estimator
        Which knows its columns.
    X, y : array [rows, columns] and array [rows], or None
        As `SemiSupervisedClassifier.fit` was given them.
    classes : array [classes]
        Of the labelled rows.
    rule : Rule
        What says that a row has no label.

    Raises
    ------
    ValueError
        Where one of both is missing, a row has no label, or one that no labelled row has.
    """
    if (X is None) != (y is None):
        raise ValueError("X_trusted and y_trusted are rows and their labels; give both or none")
    if X is None:
        return None, None
    try:
        X = checked(estimator, X, reset=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X_trusted: {error}") from None
    try:
        y = label_array(y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"y_trusted: {error}") from None
    if len(y) != len(X):
        raise ValueError(f"y_trusted: {len(y)} labels for {len(X)} rows")
    missing = without_label(y, rule)
    if missing.any():
        raise ValueError(f"y_trusted, row {missing.argmax()} has no label; trusted rows need one each")
    positions = {label: position for position, label in enumerate(classes.tolist())}
    labels = plain(y).tolist()
    for row, label in enumerate(labels):
        if label not in positions:
            raise ValueError(f"y_trusted, row {row}: no row of y has the label {label!r}; labels are {classes.tolist()}")
    return X, np.array([positions[label] for label in labels], np.int64)
