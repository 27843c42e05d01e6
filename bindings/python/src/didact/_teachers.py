"""`distributions_of` says what classifiers of scikit-learn's kind give for the rows that a student learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

# Labelled rows are divided into so many parts, of which each is labelled by teachers of the others.
_FOLDS = 5


def teachers_of(teacher: Any) -> list[Any]:
    """The teachers of the estimator's parameter ``teacher``: one, or each of a list.

    Raises
    ------
    TypeError
        For what cannot teach.
    """
    teachers = list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]
    if not teachers:
        raise ValueError("teacher is an empty list; give a classifier, or None")
    for each in teachers:
        if isinstance(each, type):
            raise TypeError(f"teacher: {each.__name__} is a class; give an instance, {each.__name__}()")
        for name in ("fit", "predict_proba", "get_params"):
            if not callable(getattr(each, name, None)):
                hint = "; give SVC(probability=True)" if type(each).__name__ == "SVC" else ""
                raise TypeError(f"teacher {each!r} has no {name}, which a classifier that teaches needs{hint}")
    return teachers


def distributions_of(
    teachers: Sequence[Any],
    X: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    X_unlabeled: np.ndarray | None,
    sample_weight: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """float64 [teachers, rows of X and of X_unlabeled, classes].

    Teachers are given labels, those of ``classes`` that ``codes`` are the positions of, and copies of rows. A labelled row
    has what a teacher says that did not learn from it, unless it is the only one of its class: of its own rows a forest
    would say what it was told.
    """
    rows = X.reshape(len(X), -1)
    known = codes >= 0 if sample_weight is None else (codes >= 0) & (sample_weight > 0)
    labelled = np.flatnonzero(known)
    folds = _folds(codes[labelled], np.random.default_rng(seed))
    found = []
    for position, teacher in enumerate(teachers):
        place = f"[{position}]" if len(teachers) > 1 else ""
        asked = _Teacher(teacher, f"teacher{place} ({type(teacher).__name__})", classes, seed)

        def learned(kept: np.ndarray) -> _Teacher:
            return asked.fitted(rows[kept], classes[codes[kept]], None if sample_weight is None else sample_weight[kept])

        everything = learned(labelled)
        parts = [everything.says(rows)]
        for fold in range(folds.max() + 1):
            parts[0][labelled[folds == fold]] = learned(labelled[folds != fold]).says(rows[labelled[folds == fold]])
        if X_unlabeled is not None:
            parts.append(everything.says(X_unlabeled.reshape(len(X_unlabeled), -1)))
        found.append(np.concatenate(parts))
    return np.stack(found)


def _folds(codes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The part of each row, −1 for those that are alone in their class: every class is learned from whatever part is left out."""
    folds, next_fold = np.full(len(codes), -1), 0
    for label in np.unique(codes):
        rows = random.permutation(np.flatnonzero(codes == label))
        if len(rows) > 1:
            folds[rows] = (next_fold + np.arange(len(rows))) % _FOLDS
            next_fold += len(rows)
    return folds


class _Teacher:
    """A classifier, and how errors name it."""

    def __init__(self, model: Any, name: str, classes: np.ndarray, seed: int):
        self.model, self.name, self.classes, self.seed = model, name, classes, seed

    def fitted(self, rows: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> _Teacher:
        model = clone(self.model)
        free = {name: self.seed for name, value in model.get_params().items() if name.endswith("random_state") and value is None}
        model.set_params(**free)
        options = {}
        if weights is not None:
            if not has_fit_parameter(model, "sample_weight"):
                raise TypeError(f"{self.name} does not take sample_weight")
            options["sample_weight"] = weights
        try:
            model.fit(rows, labels, **options)
        except Exception as error:
            raise ValueError(f"{self.name} failed to learn from {len(rows)} labelled rows: {error}") from error
        return _Teacher(model, self.name, self.classes, self.seed)

    def says(self, rows: np.ndarray) -> np.ndarray:
        """float64 [rows, classes]."""
        try:
            # A copy: some work in place.
            said = np.asarray(self.model.predict_proba(rows.copy()), np.float64)
        except Exception as error:
            raise ValueError(f"{self.name}: predict_proba failed: {error}") from error
        labels = np.asarray(getattr(self.model, "classes_", self.classes)).tolist()
        positions = {label: position for position, label in enumerate(self.classes.tolist())}
        if not set(labels) <= set(positions):
            raise ValueError(f"{self.name} has the classes {labels[:10]}, which are not those it was given")
        if said.shape != (len(rows), len(labels)):
            raise ValueError(
                f"{self.name}: predict_proba gave an array of shape {said.shape} for {len(rows)} rows and {len(labels)} classes"
            )
        all_classes = np.zeros((len(rows), len(self.classes)))
        all_classes[:, [positions[label] for label in labels]] = said
        sums = all_classes.sum(axis=1, keepdims=True)
        is_wrong = ~(np.isfinite(sums[:, 0]) & (abs(sums[:, 0] - 1) < 1e-3) & (all_classes >= 0).all(axis=1))
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ValueError(f"{self.name}: predict_proba, row {row}: {all_classes[row].tolist()} is no distribution")
        return all_classes / sums
