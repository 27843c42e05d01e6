"""scikit-learn estimators. `didact.SemiSupervisedClassifier` imports this module when it is first used."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.metrics import accuracy_score
    from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        f"didact.SemiSupervisedClassifier needs scikit-learn 1.3 or newer: pip install didact[sklearn] ({error})"
    ) from error

from .trainer import Trainer, preset

try:
    from sklearn.utils.validation import validate_data
except ImportError:
    # Before scikit-learn 1.6 it was a method of estimators.
    def validate_data(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
        return estimator._validate_data(X, **options)


# Keys of the configuration that have a parameter of their own.
_PARAMETERS = {
    "method": "method",
    "steps": "steps",
    "seed": "random_state",
    "threads": "n_jobs",
    "time_limit": "time_limit",
}
# Rows predicted at once, which bounds the memory of large predictions.
_BLOCK = 8192


class SemiSupervisedClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that learns from rows, or images, with and without labels.

    Two multilayer perceptrons, or two small convolutional networks: a teacher labels, a student learns from those labels, and the student's result on the
    labelled rows teaches the teacher (Meta Pseudo Labels: Pham, Dai, Xie, Luong and Le, CVPR 2021), beside what it
    learns from the labels themselves and from predicting alike for two noisy views of a row (UDA: Xie et al.,
    NeurIPS 2020).

    Parameters
    ----------
    method : str, default="meta_pseudo_labels"
        Any method of `didact.Trainer`, such as ``"supervised"``, which learns from labelled rows alone.
    hidden_layers : sequence of int or None, default=None
        Lengths of the hidden layers; None for those of ``didact.preset("table", ...)``, which are (64, 64).
    steps : int or None, default=None
        Training steps, each on a batch of labelled and one of unlabelled rows; None for the preset's, 1000, of images
        1500.
    unlabeled : "auto", None, int or str, default="auto"
        What stands for "no label" in ``y`` beside None and NaN, which always do. ``"auto"``: -1, unless the labels are
        exactly -1 and 1, which is a problem of two classes. None: nothing else. Any other value: that value.
    configuration : dict, default=None
        Keys of `didact.Trainer` in place of those of ``didact.preset("table", ...)``, or ``"images"``, such as
        ``{"uda_weight": 4.0, "student_optimizer": {"learning_rate": 0.1}, "network": {"dropout": 0.2}}``;
        `didact.configuration_fields` lists them.
    random_state : int, RandomState or None, default=None
        Of initial weights, batches, noise and samples. With an int, the same data, machine and ``n_jobs`` give the
        same bits.
    n_jobs : int or None, default=None
        Threads; None or -1 for one a core.
    time_limit : float or None, default=None
        Seconds of training after which it stops, at the end of a step; None for no limit.
    callback : callable, sequence of callables or None, default=None
        Called after every step with a dict of ``step``, ``steps``, ``seconds`` and metrics, as in `didact.Trainer.fit`.
        Returning anything true stops. Training stops where it raises, and the exception comes out of `fit`.
    verbose : int, default=0
        1 prints how many rows were taken as unlabelled, and shows progress as `didact.Trainer.fit` does.

    Attributes
    ----------
    classes_ : array [classes]
        The labels, sorted, in the type of ``y``.
    transduction_ : array [rows]
        A label for every training row, those of ``X_unlabeled`` after those of ``X``: the given one, else the
        predicted one.
    history_ : dict of str to float64 array [n_iter_]
        The metrics of every step, by name; see `didact.Trainer.step`.
    n_iter_ : int
        Steps made.
    n_features_in_ : int
        Columns of ``X``, or height · width · channels of images.
    image_shape_ : (int, int, int)
        Height, width and channels, where ``X`` was images.
    feature_names_in_ : array [n_features_in_] of str
        Names of the columns, where ``X`` was a data frame with text as column names.
    trainer_ : didact.Trainer
        Networks, optimisers and settings. Its classes are positions in ``classes_``. ``trainer_.save(path)`` writes a
        model file that later versions read; pickles are promised to be read only by the version that wrote them.

    Notes
    -----
    After Ctrl-C, or an exception in the callback, the estimator is fitted as of the last whole step.

    Examples
    --------
    >>> import numpy as np, didact
    >>> X, y = didact.datasets.make_two_moons(500, seed=0)
    >>> few = np.full(len(y), -1)
    >>> few[::100] = y[::100]
    >>> classifier = didact.SemiSupervisedClassifier(random_state=0).fit(X, few)
    >>> classifier.score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        method: str = "meta_pseudo_labels",
        *,
        hidden_layers: Any = None,
        steps: int | None = None,
        unlabeled: Any = "auto",
        configuration: Mapping[str, Any] | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        time_limit: float | None = None,
        callback: Callable[[dict[str, float]], Any] | None = None,
        verbose: int = 0,
    ):
        self.method = method
        self.hidden_layers = hidden_layers
        self.steps = steps
        self.unlabeled = unlabeled
        self.configuration = configuration
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.callback = callback
        self.verbose = verbose

    def fit(self, X: Any, y: Any, X_unlabeled: Any = None) -> SemiSupervisedClassifier:
        """Trains on rows with and without labels, from the beginning.

        Parameters
        ----------
        X : array [rows, columns], or images [rows, height, width, channels] or [rows, height, width]
            Finite numbers; also a data frame. Images of uint8 are augmented. A list of images is taken as an array where
            it holds arrays of uint8 or floating point.
        y : array [rows]
            A label for each row: text, whole numbers or booleans. None, NaN and what ``unlabeled`` says stand for no
            label. Text beside -1 needs ``dtype=object``: NumPy would turn -1 into text.
        X_unlabeled : array [more rows, columns], or images, default=None
            More rows without labels.

        Returns
        -------
        SemiSupervisedClassifier
            This one.

        Raises
        ------
        ValueError
            Where data are not finite, do not fit each other, or where fewer than two classes have a label; where a
            parameter or a key of the configuration is wrong.
        """
        self._check_parameters()
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None")
        X = _checked(self, X)
        y = _label_array(y)
        check_consistent_length(X, y)
        marker = _marker(y, self.unlabeled)
        labelled = ~_is_unlabelled(y, marker)
        if not labelled.any():
            raise ValueError(f"no row of y has a label; {_describe(marker)} means none")
        known = _plain(y[labelled])
        if known.dtype.kind == "f" and np.isinf(known).any():
            raise ValueError(f"y, row {np.flatnonzero(labelled)[np.isinf(known).argmax()]}: the label is infinite")
        check_classification_targets(known)
        classes, positions = np.unique(known, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has labels of one class only, {classes.tolist()[0]!r}, and training needs at least two; "
                f"{_describe(marker)} means no label"
            )
        codes = np.full(len(y), -1, np.int64)
        codes[labelled] = positions
        if X_unlabeled is not None:
            X_unlabeled = self._check_unlabeled(X_unlabeled)
        if self.verbose:
            more = 0 if X_unlabeled is None else len(X_unlabeled)
            print(
                f"{len(y)} rows, {labelled.sum()} of them with a label of {len(classes)} classes"
                f" ({_describe(marker)} means none); {more} more without"
            )

        trainer = self._new_trainer(X, len(classes))
        trainer.class_names = [str(label) for label in classes.tolist()]
        trainer.feature_names = list(getattr(self, "feature_names_in_", []))
        try:
            trainer._train(X, codes, X_unlabeled, callback=self.callback, verbose=self.verbose)
        finally:
            if trainer.steps > 0:
                self._adopt(trainer, classes, marker, codes, [X] if X_unlabeled is None else [X, X_unlabeled])
        for warning in trainer.warnings:
            warnings.warn(warning, stacklevel=2)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row.

        Parameters
        ----------
        X : array [rows, columns]

        Returns
        -------
        array [rows]
            In the type of ``classes_``.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : array [rows, columns]

        Returns
        -------
        float32 array [rows, classes]
            float64 with ``configuration={"dtype": "float64"}``.
        """
        check_is_fitted(self, "trainer_")
        return _probabilities(self.trainer_, _checked(self, X, reset=False))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy on the rows that have a label.

        Parameters
        ----------
        X : array [rows, columns]
        y : array [rows]
            Rows without a label, as in `fit`, are left out, so that cross-validation can be given what `fit` is given.
        sample_weight : array [rows], default=None

        Returns
        -------
        float
            In [0, 1].
        """
        check_is_fitted(self, "trainer_")
        y = _label_array(y)
        check_consistent_length(X, y, sample_weight)
        labelled = ~_is_unlabelled(y, self._marker)
        if not labelled.any():
            raise ValueError("score: no row of y has a label")
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[labelled]
        return accuracy_score(_plain(y[labelled]), self.predict(X)[labelled], sample_weight=sample_weight)

    def _check_parameters(self) -> None:
        if self.steps is not None and not (isinstance(self.steps, Integral) and self.steps >= 1):
            raise ValueError(f"steps must be None or a whole number of at least 1, got {self.steps!r}")
        lengths = self.hidden_layers
        if lengths is not None and (isinstance(lengths, str) or not isinstance(lengths, (Sequence, np.ndarray))):
            raise TypeError(f"hidden_layers must be None or a sequence of lengths, such as (64, 64), got {lengths!r}")
        threads = self.n_jobs
        if threads is not None and not (isinstance(threads, Integral) and (threads > 0 or threads == -1)):
            raise ValueError(f"n_jobs must be None, -1 or a positive whole number, got {self.n_jobs!r}")
        if self.time_limit is not None and not (isinstance(self.time_limit, Real) and self.time_limit > 0):
            raise ValueError(f"time_limit must be None or a positive number of seconds, got {self.time_limit!r}")
        if self.configuration is not None and not isinstance(self.configuration, Mapping):
            raise TypeError(f"configuration must be a dict or None, got {self.configuration!r}")

    def _check_unlabeled(self, X_unlabeled: Any) -> np.ndarray | None:
        try:
            X_unlabeled = _checked(self, X_unlabeled, reset=False, ensure_min_samples=0)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_unlabeled: {error}") from None
        return X_unlabeled if len(X_unlabeled) else None

    def _new_trainer(self, X: np.ndarray, classes: int) -> Trainer:
        given = _dotted(self.configuration or {})
        for key, parameter in _PARAMETERS.items():
            if key in given:
                raise ValueError(f"configuration: {key!r} is set by the parameter {parameter!r}")
        if X.ndim == 2:
            defaults = preset("table", self.method, X.shape[1], classes)
        else:
            lengths = (*X.shape[1:], 1)[:3]
            defaults = preset("images", self.method, lengths, classes, augmented=X.dtype == np.uint8)
            if self.hidden_layers is not None:
                raise ValueError("hidden_layers are a perceptron's; of images set configuration={'network': {...}}")
        for optimizer in ("student_optimizer.", "teacher_optimizer."):
            # The preset's values are for sgd.
            if given.get(f"{optimizer}name", "sgd") != "sgd":
                defaults = {key: value for key, value in defaults.items() if not key.startswith(optimizer)}
        network = defaults["network"]
        if self.hidden_layers is not None:
            network["hidden"] = list(self.hidden_layers)
        network.update(_network_changes(given, "network"))
        changes = _network_changes(given, "student_network")
        if changes:
            given["student_network"] = {**network, **changes}
        own = {
            "seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
            "threads": 0 if self.n_jobs in (None, -1) else self.n_jobs,
            "time_limit": self.time_limit,
        }
        if self.steps is not None:
            own["steps"] = self.steps
        return Trainer(**{**defaults, **own, **given})

    def _adopt(self, trainer: Trainer, classes: np.ndarray, marker: Any, codes: np.ndarray, rows: list) -> None:
        predicted = np.concatenate([_probabilities(trainer, part).argmax(axis=1) for part in rows])
        predicted[: len(codes)] = np.where(codes >= 0, codes, predicted[: len(codes)])
        self.trainer_ = trainer
        self.classes_ = classes
        self.transduction_ = classes[predicted]
        self.history_ = trainer.history
        self.n_iter_ = trainer.steps
        # A real class may be what the marker would be elsewhere: labels -1 and 1.
        self._marker = marker


def _checked(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
    """A matrix, or images of three or four dimensions."""
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
                stacklevel=3,
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


def _probabilities(trainer: Trainer, X: np.ndarray) -> np.ndarray:
    return np.concatenate([trainer.predict_proba(X[start : start + _BLOCK]) for start in range(0, len(X), _BLOCK)])


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


# Labels


def _label_array(y: Any) -> np.ndarray:
    """One dimension; Python's values where they are of several types, so that -1 beside text stays a number."""
    array = np.asarray(y)
    if array.dtype.kind in "US" and not hasattr(y, "dtype"):
        values = np.empty(array.shape, object)
        values[...] = y
        if not all(isinstance(value, str) for value in values.ravel()):
            array = values
    if array.dtype.kind not in "biufUO":
        raise TypeError(f"y: labels must be text, whole numbers or booleans, got dtype {array.dtype}")
    return column_or_1d(array, warn=True)


def _is_missing(value: Any) -> bool:
    # pandas.NA is equal to nothing, and asking it is an error.
    pandas = sys.modules.get("pandas")
    if value is None or (pandas is not None and value is pandas.NA):
        return True
    return isinstance(value, (float, np.floating)) and value != value


def _missing(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "O":
        return np.array([_is_missing(value) for value in y], bool)
    return np.zeros(len(y), bool)


def _equal(y: np.ndarray, marker: Any) -> np.ndarray:
    """Where labels are the marker. Text is never equal to a number."""
    if y.dtype.kind == "O":
        return np.array([isinstance(value, str) == isinstance(marker, str) and value == marker for value in y], bool)
    if (y.dtype.kind == "U") != isinstance(marker, str):
        return np.zeros(len(y), bool)
    return y == marker


def _is_unlabelled(y: np.ndarray, marker: Any) -> np.ndarray:
    missing = _missing(y)
    return missing if marker is None else missing | _equal(y, marker)


def _marker(y: np.ndarray, unlabeled: Any) -> Any:
    """What stands for "no label" beside None and NaN; None if nothing does."""
    if isinstance(unlabeled, bool) or not isinstance(unlabeled, (type(None), str, Integral)):
        raise TypeError(f'unlabeled must be "auto", None, a whole number or text, got {unlabeled!r}')
    if not (isinstance(unlabeled, str) and unlabeled == "auto"):
        return unlabeled
    if _equal(y, "-1").any() and not _are_only(y, "-1", "1"):
        raise ValueError(
            "y holds the text '-1'. If it means no label, pass None or -1 in an array of dtype=object, or "
            "unlabeled='-1'; if it is a class, pass unlabeled=None"
        )
    return None if _are_only(y, -1, 1) else -1


def _are_only(y: np.ndarray, one: Any, other: Any) -> bool:
    """Whether the labels are exactly these two, missing ones aside."""
    first, second = _equal(y, one), _equal(y, other)
    return bool(first.any() and second.any() and (first | second | _missing(y)).all())


def _describe(marker: Any) -> str:
    return "None or NaN" if marker is None else f"{marker!r}, None or NaN"


def _plain(known: np.ndarray) -> np.ndarray:
    """Labels of an object array as an array of their own type. Text stays as it is."""
    if known.dtype.kind != "O":
        return known
    for types, dtype in (((bool, np.bool_), np.bool_), (Integral, np.int64), (Real, np.float64), (str, object)):
        if all(isinstance(value, types) for value in known):
            if dtype is np.int64 and not all(-(2**63) <= value < 2**63 for value in known):
                raise ValueError("y: a label has more than 64 bits; write such labels as text")
            return known.astype(dtype)
    names = sorted({type(value).__name__ for value in known})
    raise TypeError(f"y: labels must all be text, all whole numbers or all booleans, got {' and '.join(names)}")
