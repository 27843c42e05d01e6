"""scikit-learn estimators. `didact.SemiSupervisedClassifier` imports this module when it is first used."""

from __future__ import annotations

import math
import os
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

from . import _classifier_file
from ._errors import warn_caller
from ._frames import column_names, masked_place, plain as plain_array, positional, refuse_dates, where
from ._labels import Rule, as_array, check_repeat, class_name, describe, plain, rule_of, warn_of_marker, without_label
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
    NeurIPS 2020). Of rows three such pairs and two perceptrons that learn from labels alone give the mean of their
    probabilities, which is near the best of them where unlabelled rows help and where they mislead.

    Parameters
    ----------
    method : str, default="auto"
        ``"auto"``: Meta Pseudo Labels, and of rows the ensemble above. Or any method of `didact.Trainer`, such as
        ``"meta_pseudo_labels"`` by itself, or ``"supervised"``, which learns from labelled rows alone.
    hidden_layers : sequence of int or None, default=None
        Lengths of the hidden layers; None for those of ``didact.preset("table", ...)``, which are (64, 64).
    steps : int or None, default=None
        Training steps, each on a batch of labelled and one of unlabelled rows; None for the preset's, 1000, of images
        1500.
    unlabeled : "auto", None, int or str, default="auto"
        What stands for "no label" in ``y`` beside None, NaN, NA and masked entries, which always do. ``"auto"``: -1,
        unless the labels are exactly -1 and 1, which is a problem of two classes. None: nothing else. Any other value:
        that value. Unless it is None, empty text and texts such as ``"nan"`` and ``"?"`` are no label either, the latter
        with a `DidactWarning`, and texts that may mean either, such as ``"None"``, are an error.
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
        predicted one. A classifier that was loaded from a file has none.
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
        Networks, optimisers and settings; of an ensemble the first member, and the others as its ``members``. Its classes are positions in ``classes_``. `save` writes a model file that
        later versions read; pickles are promised to be read only by the version that wrote them.

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
        method: str = "auto",
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
            label, and so do masked entries. Text beside -1 needs ``dtype=object``: NumPy would turn -1 into text.
        X_unlabeled : array [more rows, columns], or images, default=None
            More rows without labels.

        Returns
        -------
        SemiSupervisedClassifier
            This one.

        Raises
        ------
        ValueError
            Where data are masked or not finite, do not fit each other, or where fewer than two classes have a label; where a
            parameter or a key of the configuration is wrong.
        """
        before = dict(vars(self))
        try:
            return self._fit(X, y, X_unlabeled)
        except BaseException:
            # What was fitted before stays as it was, unless there is a new trainer.
            if "trainer_" in before and self.trainer_ is before["trainer_"]:
                vars(self).clear()
                vars(self).update(before)
            raise

    def _fit(self, X: Any, y: Any, X_unlabeled: Any) -> SemiSupervisedClassifier:
        self._check_parameters()
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None")
        X = _checked(self, X)
        y = _label_array(y)
        check_consistent_length(X, y)
        rule = rule_of(y, self.unlabeled)
        labelled = ~without_label(y, rule)
        if not labelled.any():
            raise ValueError(f"no row of y has a label; {describe(rule)} means none")
        known = plain(y[labelled])
        if known.dtype.kind == "f" and np.isinf(known).any():
            raise ValueError(f"y, row {np.flatnonzero(labelled)[np.isinf(known).argmax()]}: the label is infinite")
        # What has no rows is refused below.
        more = 0 if X_unlabeled is None else (*np.shape(X_unlabeled), 0)[0]
        _check_are_classes(known, np.flatnonzero(labelled), len(y) + more)
        if X_unlabeled is None:
            warn_of_marker(y, self.unlabeled, ~labelled)
        classes, positions = np.unique(known, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has labels of one class only, {classes.tolist()[0]!r}, and training needs at least two; "
                f"{describe(rule)} means no label"
            )
        codes = np.full(len(y), -1, np.int64)
        codes[labelled] = positions
        if X_unlabeled is not None:
            X_unlabeled = self._check_unlabeled(X_unlabeled)
        if self.verbose:
            more = 0 if X_unlabeled is None else len(X_unlabeled)
            print(
                f"{len(y)} rows, {labelled.sum()} of them with a label of {len(classes)} classes"
                f" ({describe(rule)} means none); {more} more without"
            )

        trainer = self._new_trainer(X, len(classes))
        trainer.class_names = [class_name(label) for label in classes.tolist()]
        trainer.feature_names = list(getattr(self, "feature_names_in_", []))
        try:
            trainer._train(X, codes, X_unlabeled, callback=self.callback, verbose=self.verbose)
        finally:
            if trainer.steps > 0:
                self._adopt(trainer, classes, rule, codes, [X] if X_unlabeled is None else [X, X_unlabeled])
        for warning in trainer.warnings:
            warn_caller(warning)
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
        labelled = ~without_label(y, self._rule, classes=self.classes_.tolist())
        if not labelled.any():
            raise ValueError("score: no row of y has a label")
        if sample_weight is not None:
            sample_weight = positional(sample_weight, "sample_weight")[labelled]
        return accuracy_score(plain(y[labelled]), self.predict(X)[labelled], sample_weight=sample_weight)

    # Files

    def save(self, path: str | os.PathLike) -> None:
        """Writes one safetensors file, from which `load` makes this classifier again. Completes or leaves the old file.

        `didact.Trainer.load` and the command ``didact predict`` read it too.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            Where the file cannot be written.
        TypeError, ValueError
            Where ``trainer_`` was given other names than the classifier has, or a parameter is of a type that no file
            holds.

        Notes
        -----
        ``callback`` is not written, nor a ``random_state`` that is no number: they come back as None. Nor is
        ``transduction_``, which is about the rows of `fit`, not about the model.
        """
        self._describe().save(path)

    def to_bytes(self) -> bytes:
        """Returns the bytes that `save` writes."""
        return self._describe().to_bytes()

    def _describe(self) -> Trainer:
        """Writes into the trainer what it does not know of its classifier."""
        check_is_fitted(self, "trainer_")
        parameters = self.get_params(deep=False)
        parameters["callback"] = None
        if not isinstance(parameters["random_state"], (type(None), Integral)):
            parameters["random_state"] = None
        names = getattr(self, "feature_names_in_", None)
        text = _classifier_file.written(
            _classifier_file.Description(
                parameters, self.classes_, None if names is None else [str(name) for name in names],
                getattr(self, "image_shape_", None), self._rule,
            )
        )  # fmt: skip
        # What `load` would refuse is not saved, such as names that were set to others on ``trainer_``.
        _classifier_file.read(text, self.trainer_, self._get_param_names())
        self.trainer_._annotate(_classifier_file.KEY, text)
        return self.trainer_

    @classmethod
    def load(cls, path: str | os.PathLike) -> SemiSupervisedClassifier:
        """Reads a file that `save`, `didact.Trainer.save` or the command wrote.

        A trainer's file has no types of labels: where every class name is a whole number, such as ``"0"`` and ``"1"``,
        or where there are no names, the labels are whole numbers, else text.

        Parameters
        ----------
        path : path

        Returns
        -------
        SemiSupervisedClassifier
            Fitted. It predicts the same bits.

        Raises
        ------
        OSError
            Where the file cannot be read.
        ValueError
            Where it is damaged. Nothing of a file is executed.
        """
        return cls._of_trainer(Trainer.load(path))

    @classmethod
    def from_bytes(cls, data: bytes) -> SemiSupervisedClassifier:
        """Makes a classifier of the bytes of a file, as `load` does."""
        return cls._of_trainer(Trainer.from_bytes(data))

    @classmethod
    def _of_trainer(cls, trainer: Trainer) -> SemiSupervisedClassifier:
        try:
            found = _classifier_file.read(trainer._annotation(_classifier_file.KEY), trainer, cls._get_param_names())
        except RecursionError:
            raise ValueError(f"{_classifier_file.KEY}: it is nested too deep") from None
        self = cls(**found.parameters)
        self.n_features_in_ = trainer.student._input_count()
        if found.feature_names is not None:
            self.feature_names_in_ = np.array(found.feature_names, dtype=object)
        if found.image_shape is not None:
            self.image_shape_ = found.image_shape
        self._take(trainer, found.classes, found.rule)
        return self

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

    def _adopt(self, trainer: Trainer, classes: np.ndarray, rule: Rule, codes: np.ndarray, rows: list) -> None:
        # The trainer first: an interrupt or missing memory in the predictions must not cost it.
        self._take(trainer, classes, rule)
        vars(self).pop("transduction_", None)
        predicted = np.concatenate([_probabilities(trainer, part).argmax(axis=1) for part in rows])
        predicted[: len(codes)] = np.where(codes >= 0, codes, predicted[: len(codes)])
        self.transduction_ = classes[predicted]

    def _take(self, trainer: Trainer, classes: np.ndarray, rule: Rule) -> None:
        self.trainer_ = trainer
        self.classes_ = classes
        self.history_ = trainer.history
        self.n_iter_ = trainer.steps
        # `score` follows it: a real class may be what the marker would be elsewhere, as of the labels -1 and 1.
        self._rule = rule


def _checked(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
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
        plain_array(X, "X", columns)
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
    return plain_array(array, "X", columns)


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
            array = plain_array(array, "X", columns)
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
    """Makes labels an array of one dimension. A column of a table is taken too, with scikit-learn's warning."""
    return column_or_1d(as_array(y), warn=True)


def _check_are_classes(known: np.ndarray, rows: np.ndarray, row_count: int) -> None:
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
