"""Didact: train a classifier from a few labelled and many unlabelled examples.

A teacher network labels, a student network learns from those labels, and the student's result on
the labelled data teaches the teacher.

>>> import didact
>>> trainer = didact.Trainer("meta_pseudo_labels", didact.mlp(2, [64, 64], 2), seed=0)
>>> trainer.fit(X, y)                      # y is -1 where there is no label  # doctest: +SKIP
>>> trainer.predict_proba(X_test)          # doctest: +SKIP
"""

from . import callbacks, datasets
from ._errors import (
    DidactError,
    DidactFileError,
    DidactMemoryError,
    DidactRuntimeError,
    DidactTypeError,
    DidactValueError,
    DidactWarning,
)
from ._version import __version__
from .augmentation import augment, augmentations
from .gradient_check import GradientCheck, gradcheck
from .network import Network, Pass, efficientnet, load_pretrained, mlp, resnet, sequential, small_cnn, wide_resnet
from .optimization import SGD, AdamW, MovingAverage, Optimizer
from .prediction import Predictor
from .trainer import Trainer, configuration_fields, preset
from .versions import build_info, show_versions

__all__ = [
    "AdamW",
    "DidactError",
    "DidactFileError",
    "DidactMemoryError",
    "DidactRuntimeError",
    "DidactTypeError",
    "DidactValueError",
    "DidactWarning",
    "GradientCheck",
    "MovingAverage",
    "Network",
    "Optimizer",
    "Pass",
    "Predictor",
    "SGD",
    "Trainer",
    "__version__",
    "augment",
    "augmentations",
    "build_info",
    "callbacks",
    "configuration_fields",
    "datasets",
    "efficientnet",
    "gradcheck",
    "load_pretrained",
    "mlp",
    "plot",
    "preset",
    "reproduce",
    "resnet",
    "sequential",
    "show_versions",
    "small_cnn",
    "study",
    "wide_resnet",
]


def __getattr__(name: str):
    """What is loaded when it is first used."""
    import importlib

    if name == "plot":
        return importlib.import_module(".plot", __name__)
    if name == "model_selection":
        # Not in __all__: `import *` would ask for scikit-learn.
        return importlib.import_module(".model_selection", __name__)
    if name == "study":
        return importlib.import_module(".studies", __name__).study
    if name == "reproduce":
        return importlib.import_module(".reproduction", __name__).reproduce
    if name == "SemiSupervisedClassifier":
        # Not in __all__ either.
        return importlib.import_module(".estimators", __name__).SemiSupervisedClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "SemiSupervisedClassifier", "model_selection"})
