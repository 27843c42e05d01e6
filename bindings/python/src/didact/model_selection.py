"""Scores and splits for data of which most rows have no label, to be given to scikit-learn's searches.

``scoring="accuracy"`` takes -1 for one more class, which no classifier ever predicts, so that a search chooses by nonsense.
A `labeled_scorer` leaves rows without a label out, and a `LabeledKFold` tests on rows with labels alone.

>>> from sklearn.model_selection import cross_val_score
>>> from didact.model_selection import LabeledKFold, labeled_scorer
>>> cross_val_score(classifier, X, y, cv=LabeledKFold(5), scoring=labeled_scorer("f1_macro"))  # doctest: +SKIP

Importing this module imports scikit-learn; ``import didact`` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator
    from sklearn.metrics import get_scorer, log_loss
    from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
    from sklearn.utils import _safe_indexing, check_consistent_length, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
except ImportError as error:
    raise ImportError(
        f"didact.model_selection needs scikit-learn 1.3 or newer: pip install didact[sklearn] ({error})"
    ) from error

from ._frames import positional
from ._labels import Rule, as_array, describe, plain, rule_of, without_label

__all__ = ["LabeledKFold", "labeled_scorer"]


def labeled_scorer(scoring: str | Callable) -> Callable[..., float]:
    """A scorer that leaves rows without a label out.

    Parameters
    ----------
    scoring : str or callable
        A name that scikit-learn knows, such as ``"f1_macro"``, ``"balanced_accuracy"``, ``"neg_log_loss"`` or
        ``"roc_auc_ovr"``; or a callable ``scoring(estimator, X, y)``, such as `sklearn.metrics.make_scorer` makes.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``, for `cross_val_score`, `GridSearchCV` and whatever else takes a
        ``scoring``. It can be pickled.

    Raises
    ------
    ValueError
        For a name that scikit-learn does not know; when called, where no row has a label.
    TypeError
        For what is neither a name nor a callable.

    Notes
    -----
    What means "no label" is what a `didact.SemiSupervisedClassifier` decided in its `fit`, also at the end of a pipeline
    or within a search. For another estimator it is None, NaN, NA, masked entries, -1 unless its classes are -1 and 1,
    and texts as docs/python.md lists them.

    ``"neg_log_loss"`` takes the classes of the estimator, so that a fold may lack one.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> GridSearchCV(didact.SemiSupervisedClassifier(), grid, scoring=labeled_scorer("f1_macro"))  # doctest: +SKIP
    """
    if isinstance(scoring, str):
        # An unknown name is an error here, not in the middle of a search.
        get_scorer(scoring)
    elif not callable(scoring):
        raise TypeError(
            f'scoring must be a name, such as "f1_macro", or a callable that takes estimator, X and y; got {scoring!r}'
        )
    return _LabeledScorer(scoring)


class _LabeledScorer:
    """The scorer that `labeled_scorer` returns."""

    def __init__(self, scoring: str | Callable):
        self.scoring = scoring

    def __call__(self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        if y is None:
            raise ValueError("labeled_scorer: y is None; it needs the labels")
        labels = column_or_1d(as_array(y))
        check_consistent_length(X, labels, sample_weight)
        classes = _classes(estimator)
        labelled = ~without_label(labels, _rule(estimator, labels, classes), classes=classes)
        if not labelled.any():
            raise ValueError(
                "labeled_scorer: no row of y has a label; didact.model_selection.LabeledKFold makes folds that have some"
            )
        known, options = plain(labels[labelled]), {}
        if sample_weight is not None:
            options["sample_weight"] = positional(sample_weight, "sample_weight")[labelled]
        if not labelled.all():
            X = _safe_indexing(X, np.flatnonzero(labelled))
        if self.scoring == "neg_log_loss" and classes:
            return -float(log_loss(known, estimator.predict_proba(X), labels=estimator.classes_, **options))
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        return scorer(estimator, X, known, **options)

    def __repr__(self) -> str:
        return f"labeled_scorer({self.scoring!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LabeledScorer) and self.scoring == other.scoring

    def __hash__(self) -> int:
        return hash((_LabeledScorer, self.scoring))


def _rule(estimator: Any, y: np.ndarray, classes: list[Any]) -> Rule:
    inner = _innermost(estimator)
    rule = getattr(inner, "_rule", None)
    if isinstance(rule, Rule):
        return rule
    if classes:
        # The few labels of a fold may look like other classes than there are.
        return Rule(None if {-1, 1} == set(classes) else -1, True)
    return rule_of(y, "auto")


def _classes(estimator: Any) -> list[Any]:
    classes = getattr(estimator, "classes_", None)
    return classes.tolist() if isinstance(classes, np.ndarray) and classes.ndim == 1 else []


def _innermost(estimator: Any) -> Any:
    """Returns the fitted estimator at the end of pipelines and within searches and wrappers."""
    # No chain of estimators is longer in earnest.
    for _ in range(20):
        if isinstance(getattr(estimator, "_rule", None), Rule):
            break
        steps = getattr(estimator, "steps", None)
        if isinstance(steps, list) and steps:
            estimator = steps[-1][1]
        elif isinstance(getattr(estimator, "best_estimator_", None), BaseEstimator):
            estimator = estimator.best_estimator_
        elif isinstance(getattr(estimator, "estimator_", None), BaseEstimator):
            estimator = estimator.estimator_
        else:
            break
    return estimator


class LabeledKFold(BaseCrossValidator):
    """Folds that are stratified over the rows with labels. Rows without a label are in every training part and in no test
    part.

    Parameters
    ----------
    n_splits : int, default=5
        How many folds; at least two.
    shuffle : bool, default=False
        Whether the rows of each class are shuffled before they are divided.
    random_state : int, RandomState or None, default=None
        Of the shuffling.
    unlabeled : "auto", None, int or str, default="auto"
        What stands for "no label", as in `didact.SemiSupervisedClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from didact.model_selection import LabeledKFold
    >>> y = np.array([0, 1, -1, 0, 1, -1])
    >>> for train, test in LabeledKFold(2).split(np.zeros((6, 1)), y):
    ...     print(train, test)
    [2 3 4 5] [0 1]
    [0 1 2 5] [3 4]
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None, unlabeled: Any = "auto"):
        # This is made for its checks alone.
        StratifiedKFold(n_splits, shuffle=shuffle, random_state=random_state)
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.unlabeled = unlabeled

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the row numbers of training and test part for each fold.

        Parameters
        ----------
        X : array [rows, ...]
            Only its length counts.
        y : array [rows]
            Labels, and what means none.
        groups : ignored

        Raises
        ------
        ValueError
            Where no row has a label, or no class has as many labelled rows as there are folds.
        """
        if y is None:
            raise ValueError("LabeledKFold: y is None; it needs the labels")
        labels = column_or_1d(as_array(y))
        if X is not None:
            check_consistent_length(X, labels)
        rule = rule_of(labels, self.unlabeled)
        rows = np.flatnonzero(~without_label(labels, rule))
        if not len(rows):
            raise ValueError(f"LabeledKFold: no row of y has a label; {describe(rule)} means none")
        known = plain(labels[rows])
        check_classification_targets(known)
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        everything = np.arange(len(labels))
        for _, test in folds.split(np.zeros(len(rows)), np.unique(known, return_inverse=True)[1]):
            yield np.delete(everything, rows[test]), rows[test]
