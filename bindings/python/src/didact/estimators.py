"""scikit-learn estimators. `didact.SemiSupervisedClassifier` imports this module when it is first used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.metrics import accuracy_score
    from sklearn.utils import check_consistent_length, check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted
except ImportError as error:
    raise ImportError(
        f"didact.SemiSupervisedClassifier needs scikit-learn 1.3 or newer: pip install didact[sklearn] ({error})"
    ) from error

from . import _classifier_file
from ._errors import warn_caller
from ._estimator_configuration import check_parameters, configuration_of
from ._frames import positional
from ._labels import Rule, class_name, describe, plain, rule_of, warn_of_marker, without_label
from ._teachers import distributions_of, teachers_of
from ._trusted import trusted_rows
from ._validation import check_are_classes, checked, label_array
from .trainer import Trainer

# Rows predicted at once, which bounds the memory of large predictions.
_BLOCK = 8192


class SemiSupervisedClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that learns from rows, or images, with and without labels.

    Two multilayer perceptrons, or two small convolutional networks: a teacher labels, a student learns from those labels, and the student's result on the
    labelled rows teaches the teacher (Meta Pseudo Labels: Pham, Dai, Xie, Luong and Le, CVPR 2021), beside what it
    learns from the labels themselves and from predicting alike for two noisy views of a row (UDA: Xie et al.,
    NeurIPS 2020). Of rows three such pairs and two perceptrons that learn from labels alone give one half of the
    probabilities, and a hundred trees that learn from labels alone the other: together they are near the best of them where
    unlabelled rows help and where they mislead.

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
    class_prior : "none", "labels", "estimate", dict or sequence, default=None
        The shares of the classes to learn for, where labels were drawn in others than the rows have. Labelled rows are
        repeated, up to 30 times, until their classes are as frequent. A dict by label, or numbers in the order of
        ``classes_``; they need not sum to 1. "estimate" finds shares on the rows without labels (Saerens, Latinne and
        Decaestecker, Neural Computation 2002), goes half way to them, and keeps those of the labels where they are near.
        "none" and "labels" leave the labels as they are. None for the preset's: "estimate" of rows, "none" of images.
    class_weight : "balanced", dict or None, default=None
        How much a labelled row of each class counts, as elsewhere in scikit-learn; missing ones 1. It is another way
        to give ``class_prior``, and one of the two must be None.
    teacher : classifier or sequence of classifiers, default=None
        Classifiers of scikit-learn's kind, with ``predict_proba``, that label the rows in place of a network of Didact's,
        such as ``RandomForestClassifier()``. Each learns from the labelled rows alone; what it says of a labelled row comes
        from one that learned without it. Each is given an array [rows, columns] and labels as ``y`` has them. A small network corrects what they say, and learns from the student's result on the
        labelled rows what, and of several teachers whom, to trust (Reduced Meta Pseudo Labels: Pham et al., appendix E). What is
        fitted is a model of Didact's alone. ``method`` is then ``"auto"``.
    members : sequence of str or dict, default=None
        The ensemble, in place of that of ``"auto"``: of each member a method, or keys of its configuration, such as
        ``["supervised", {"method": "fixmatch", "threshold_rule": "relative"}]``. Each has its method's preset, then
        ``configuration``, then its own keys. There are trees where ``configuration`` has ``forest_trees``. ``method`` is then
        ``"auto"``.
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
    method_ : str
        What was trained: a method, or ``"ensemble"``.
    report_ : dict
        What predicts together, and what training aimed at: ``members``, of each its ``method``, ``steps`` and ``weight`` in the
        prediction; ``forest``, None or its ``trees`` and ``weight``; ``class_shares``, by label, or None for those of the labels;
        ``warnings``, of each its ``code`` and ``message``.
    trainer_ : didact.Trainer
        Networks, optimisers and settings; of an ensemble the first member, and the others as its ``members``. Its classes are positions in ``classes_``. `save` writes a model file that
        later versions read; pickles are promised to be read only by the version that wrote them.

    Notes
    -----
    After Ctrl-C, or an exception in the callback, the estimator is fitted as of the last whole step. A ``teacher`` is not kept:
    a file has None in its place.

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
        class_prior: Any = None,
        class_weight: Any = None,
        teacher: Any = None,
        members: Sequence[str | Mapping[str, Any]] | None = None,
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
        self.class_prior = class_prior
        self.class_weight = class_weight
        self.teacher = teacher
        self.members = members
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.callback = callback
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        X_unlabeled: Any = None,
        sample_weight: Any = None,
        *,
        X_trusted: Any = None,
        y_trusted: Any = None,
    ) -> SemiSupervisedClassifier:
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
        sample_weight : array [rows] or float, default=None
            How much each row of ``X`` counts where it has a label, at least 0; all alike by default. Batches have a row as
            often as it counts, up to 30 times as often as another; one of 0 is as without its label.
        X_trusted, y_trusted : array [trusted rows, columns], or images, and array [trusted rows], default=None
            Rows, with a label each, that the feedback is measured on, in place of the labelled rows, whose labels may be
            wrong. They are not learned from. Labels are among those of ``y``.

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
            return self._fit(X, y, X_unlabeled, sample_weight, X_trusted, y_trusted)
        except BaseException:
            # What was fitted before stays as it was, unless there is a new trainer.
            if "trainer_" in before and self.trainer_ is before["trainer_"]:
                vars(self).clear()
                vars(self).update(before)
            raise

    def _fit(
        self, X: Any, y: Any, X_unlabeled: Any, sample_weight: Any, X_trusted: Any, y_trusted: Any
    ) -> SemiSupervisedClassifier:
        check_parameters(self)
        teachers = [] if self.teacher is None else teachers_of(self.teacher)
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None")
        X = checked(self, X)
        y = label_array(y)
        check_consistent_length(X, y)
        if sample_weight is not None:
            if not isinstance(sample_weight, Real):
                sample_weight = positional(sample_weight, "sample_weight")
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        rule = rule_of(y, self.unlabeled)
        labelled = ~without_label(y, rule)
        if not labelled.any():
            raise ValueError(f"no row of y has a label; {describe(rule)} means none")
        known = plain(y[labelled])
        if known.dtype.kind == "f" and np.isinf(known).any():
            raise ValueError(f"y, row {np.flatnonzero(labelled)[np.isinf(known).argmax()]}: the label is infinite")
        # What has no rows is refused below.
        more = 0 if X_unlabeled is None else (*np.shape(X_unlabeled), 0)[0]
        check_are_classes(known, np.flatnonzero(labelled), len(y) + more)
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
        X_trusted, y_trusted = trusted_rows(self, X_trusted, y_trusted, classes, rule)
        if self.verbose:
            more = 0 if X_unlabeled is None else len(X_unlabeled)
            print(
                f"{len(y)} rows, {labelled.sum()} of them with a label of {len(classes)} classes"
                f" ({describe(rule)} means none); {more} more without"
            )

        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        counts = np.bincount(positions, None if sample_weight is None else sample_weight[labelled])
        trainer = Trainer(**configuration_of(self, X, classes, counts, seed, len(teachers), X_trusted is not None))
        trainer.class_names = [class_name(label) for label in classes.tolist()]
        trainer.feature_names = list(getattr(self, "feature_names_in_", []))
        said = None
        if teachers:
            said = distributions_of(teachers, X, codes, classes, X_unlabeled, sample_weight, seed)
        try:
            trainer._train(
                X, codes, X_unlabeled, callback=self.callback, verbose=self.verbose, sample_weight=sample_weight,
                X_trusted=X_trusted, y_trusted=y_trusted, teacher_distributions=said,
            )  # fmt: skip
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
        return _probabilities(self.trainer_, checked(self, X, reset=False))

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
        y = label_array(y)
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
        parameters["callback"] = parameters["teacher"] = None
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

    def _check_unlabeled(self, X_unlabeled: Any) -> np.ndarray | None:
        try:
            X_unlabeled = checked(self, X_unlabeled, reset=False, ensure_min_samples=0)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_unlabeled: {error}") from None
        return X_unlabeled if len(X_unlabeled) else None

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
        self.report_ = report = trainer.report
        self.method_ = trainer.method if report["forest"] is None and len(report["members"]) == 1 else "ensemble"
        if report["class_shares"] is not None:
            report["class_shares"] = dict(zip(classes.tolist(), report["class_shares"]))
        # `score` follows it: a real class may be what the marker would be elsewhere, as of the labels -1 and 1.
        self._rule = rule


def _probabilities(trainer: Trainer, X: np.ndarray) -> np.ndarray:
    return np.concatenate([trainer.predict_proba(X[start : start + _BLOCK]) for start in range(0, len(X), _BLOCK)])
