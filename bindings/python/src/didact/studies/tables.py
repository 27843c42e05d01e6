"""The study "tables": Didact's default beside what people have, on tables that nobody chose by and on some that are for
choosing (`table_data`)."""

from __future__ import annotations

import math
import statistics
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import CHOOSING_SEEDS, Study, table_data
from .table_data import Task

# Against which distances are printed, and whose rows they are.
DEFAULT, SUPERVISED, FOREST = "SemiSupervisedClassifier", "SemiSupervisedClassifier, supervised", "random forest"
# The preset of version 0.1, so that before and after stand beside each other.
OLD_DEFAULT = "SemiSupervisedClassifier, version 0.1's preset"


def _didact(method: str = "meta_pseudo_labels", configuration: dict[str, Any] | None = None) -> Callable:
    def make(task: Task, seed: int) -> Any:
        import didact

        return didact.SemiSupervisedClassifier(method, configuration=configuration, random_state=seed, n_jobs=1)

    return make


def _old_default(task: Task, seed: int) -> Any:
    return _didact(configuration=_old_preset(task.features.shape[1]))(task, seed)


def _old_preset(columns: int) -> dict[str, Any]:
    return {"strong_noise": min(0.6, 0.15 * math.sqrt(columns))}


def _peer(make: Callable[[int], Any], standardised: bool = False, self_training: bool = False) -> Callable:
    def classifier(task: Task, seed: int) -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.semi_supervised import SelfTrainingClassifier

        model = make(seed)
        model = SelfTrainingClassifier(model) if self_training else _OnLabels(model)
        return make_pipeline(StandardScaler(), model) if standardised else model

    return classifier


class _OnLabels:
    """A supervised classifier that is given rows without labels too, and leaves them out."""

    def __init__(self, model: Any):
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray) -> _OnLabels:
        self.model.fit(X[y >= 0], y[y >= 0])
        self.classes_ = self.model.classes_
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(X)


def _logistic_regression(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _svc(seed: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV  # noqa: F401 - says early where scikit-learn is too old
    from sklearn.svm import SVC

    return SVC(probability=True, random_state=seed)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


def _extra_trees(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(random_state=seed)


def _lightgbm(seed: int) -> Any:
    from lightgbm import LGBMClassifier

    # Its own least number of rows a leaf, 20, would make no tree at all of so few labels.
    return LGBMClassifier(min_child_samples=2, random_state=seed, n_jobs=1, verbose=-1)


def _label_spreading(seed: int) -> Any:
    from sklearn.semi_supervised import LabelSpreading

    return LabelSpreading(kernel="knn", n_neighbors=7)


_SUPERVISED_PEERS = {
    "logistic regression": (_logistic_regression, True),
    "SVC": (_svc, True),
    FOREST: (_forest, False),
    "extra trees": (_extra_trees, False),
    "LightGBM": (_lightgbm, False),
}
CLASSIFIERS: dict[str, Callable[[Task, int], Any]] = {
    DEFAULT: _didact(),
    OLD_DEFAULT: _old_default,
    SUPERVISED: _didact("supervised"),
    **{name: _peer(make, scaled) for name, (make, scaled) in _SUPERVISED_PEERS.items()},
    **{
        f"{name}, self-training": _peer(make, scaled, self_training=True)
        for name, (make, scaled) in _SUPERVISED_PEERS.items()
    },
    "LabelSpreading": lambda task, seed: _label_spreading(seed),
    "LabelSpreading, standardised": lambda task, seed: _standardised(_label_spreading(seed)),
}
