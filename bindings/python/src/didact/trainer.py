"""Trainers: a method at work on its networks."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _ffi
from ._arrays import (
    Handle,
    NamedArrays,
    borrow,
    encoded,
    make_handle,
    names,
    number,
    optional,
    optional_pointer,
    path_bytes,
    text,
    to_json,
    whole_number,
)
from ._errors import DidactError, check, warn_caller
from ._labels import positions
from ._library import library
from ._signals import HeldSignals
from ._trainer_after_fork import TrainerAfterFork
from ._trainer_files import TrainerFiles
from ._trainer_meta_gradient import TrainerMetaGradient
from ._trainer_steps import StepArguments, TrainerSteps
from .callbacks import Callback
from .network import Network
from .optimization import Optimizer
from .prediction import Predictions
from .progress import reporter


def configuration_fields(method: str) -> list[dict[str, Any]]:
    """The configuration keys of a method: key, accepts, default, meaning and source of each."""
    return json.loads(text(library.didact_configuration_fields, encoded(method, "method")))


def preset(data: str, method: str, inputs: int | Sequence[int], classes: int, augmented: bool = True) -> dict[str, Any]:
    """A configuration to begin with, as the command `didact train` has it: ``Trainer(**didact.preset(...))``.

    Parameters
    ----------
    data : str
        ``"two-moons"``, ``"digits"``, ``"images"``, or ``"table"`` for anything else.
    method : str
        Such as ``"meta_pseudo_labels"``.
    inputs : int, or (height, width, channels) of images
        Length of a row. Tables of fewer than 16 columns get less noise.
    classes : int
        How many there are.
    augmented : bool
        Of images: whether they are uint8, which policies can change. Others get noise.
    """
    classes = whole_number(classes, "classes")
    if data == "images":
        try:
            lengths = [whole_number(length, "inputs") for length in inputs]
            height, width, channels = lengths
        except (TypeError, ValueError):
            raise ValueError(f"inputs of images are (height, width, channels), got {inputs!r}") from None
        arguments = (encoded(method, "method"), height, width, channels, classes, int(augmented))
        return json.loads(text(library.didact_image_preset, *arguments))
    arguments = (encoded(data, "data"), encoded(method, "method"), whole_number(inputs, "inputs"), classes)
    return json.loads(text(library.didact_preset, *arguments))


class Trainer(TrainerSteps, TrainerMetaGradient, TrainerFiles):
    """Trains by a method, step by step or by `fit`.

    Parameters
    ----------
    method : str
        Such as ``"meta_pseudo_labels"`` (Pham et al., CVPR 2021), ``"fixmatch"`` or ``"supervised"``;
        ``didact.build_info()["methods"]`` has all, ``docs/methods`` a page for each.
    network : dict
        The specification of the networks, such as `mlp` returns; the teacher's where
        ``student_network`` is given.
    dtype : str
        ``"float32"`` or ``"float64"``.
    seed : int
        Of every random stream. Same seed, build and machine: same bits.
    student_network : dict, optional
        The specification of the student where it differs.
    **configuration
        The keys that `configuration_fields` lists, such as ``uda_weight=8.0`` or
        ``student_optimizer={"learning_rate": 0.1}``. Unknown keys are errors.
    """

    def __init__(
        self,
        method: str,
        network: Mapping[str, Any],
        dtype: str = "float32",
        seed: int = 0,
        student_network: Mapping[str, Any] | None = None,
        **configuration: Any,
    ):
        description = {
            "method": method,
            "network": _specification(network, "network"),
            "dtype": str(np.dtype(dtype)),
            "seed": whole_number(seed, "seed"),
            **configuration,
        }
        if student_network is not None:
            description["student_network"] = _specification(student_network, "student_network")
        self._adopt(
            make_handle(library.didact_trainer_create, library.didact_trainer_free, to_json(description))
        )

    def _adopt(self, handle: Handle) -> None:
        self._handle = handle
        self._networks: dict[str, Network] = {}
        self._members: tuple[Trainer, ...] | None = None
        self._optimizers: dict[str, Optimizer] = {}
        self._configuration = json.loads(text(library.didact_trainer_configuration, handle.value))
        self._columns = names(
            library.didact_trainer_history_columns, library.didact_trainer_history_name, handle.value
        )
        self._idle_arguments: list[StepArguments] = []
        student = self.student
        self._predictions = Predictions(
            library.didact_trainer_predict,
            handle,
            student._input_count(),
            student._logit_lengths,
            student.dtype,
        )

    @classmethod
    def _of(cls, handle: Handle) -> Trainer:
        trainer = cls.__new__(cls)
        trainer._adopt(handle)
        return trainer

    # Training and prediction

    def fit(
        self,
        X: Any,
        y: Any,
        X_unlabeled: Any = None,
        steps: int | None = None,
        callback: Callable[[dict[str, float]], Any] | Sequence[Callable[[dict[str, float]], Any]] | None = None,
        verbose: int = 0,
        *,
        X_trusted: Any = None,
        y_trusted: Any = None,
        sample_weight: Any = None,
        teacher_distributions: Any = None,
    ) -> Trainer:
        """Trains on rows with and without labels. Weak and strong views are made by noise and
        feature dropout, as configured; inputs are scaled as ``input_scaling`` says.

        Ctrl-C, or an exception in the callback, stops after the step and leaves a usable model. A
        fit goes on where the last one on the same data ended.

        Parameters
        ----------
        X : array [N, inputs]
            The column names of a data frame are kept as `feature_names`, unless there are some; then its columns are put
            into their order. A column that is missing, or one too many, is a ValueError.
        y : array [N]
            A class for each row: its position, or its name in `class_names`. -1, None, NaN, NA and masked entries are
            none; of text docs/python.md says what is. Of networks that segment, masks [N, height, width] of the position of
            each pixel's class, 255 or -1 for none; an image of which no pixel has a class has no label.
        X_unlabeled : array [M, inputs], optional
            More rows without labels. Named columns are put into the order of those of ``X``.
        steps : int, optional
            How many to make now; what is left of the configured ``steps`` and ``finetune_steps`` by default.
        callback : callable or sequence of callables, optional
            Called after every step with a dict of ``step`` and ``steps`` (of the trainer's life, made and to come),
            ``seconds`` (since this fit began) and the metrics of the step by their names, as `step` returns them.
            ``student_loss``, ``supervised_loss``, ``unlabeled_loss`` and ``feedback`` are there for every method, 0 where
            it has none. Returning anything true stops, after the other callbacks have seen the step.
            `didact.callbacks` has some.
        verbose : int
            0 is silent. 1 shows a bar on a terminal and in a notebook where tqdm is installed
            (``pip install didact[progress]``), else prints a table of about ten lines. 2 prints the table always.
        X_trusted, y_trusted : array [T, inputs] and array [T], optional
            Rows, with a label each, that the feedback is measured on, in place of the labelled rows, whose labels may be
            wrong. They are not learned from. For methods that have a feedback.
        sample_weight : array [N], optional
            How much each row of ``X`` counts where it has a label, at least 0; all alike by default. Batches have a row as
            often as it counts, up to 30 times as often as another; one of 0 is as without its label.
        teacher_distributions : array [N + M, classes] or [teachers, N + M, classes], optional
            For the method ``"reduced_meta_pseudo_labels"``, in place of files: what teachers say of every row, those of
            ``X_unlabeled`` last.

        Returns
        -------
        Trainer
            This one.
        """
        self._train(
            X, y, X_unlabeled, steps, callback, verbose, sample_weight=sample_weight, X_trusted=X_trusted,
            y_trusted=y_trusted, teacher_distributions=teacher_distributions,
        )  # fmt: skip
        for warning in self.warnings:
            warn_caller(warning)
        return self

    def _train(
        self,
        X: Any,
        y: Any,
        X_unlabeled: Any,
        steps: int | None = None,
        callback: Any = None,
        verbose: int = 0,
        X_trusted: Any = None,
        y_trusted: Any = None,
        **more: Any,
    ) -> None:
        """`fit` without a word.

        Parameters
        ----------
        **more
            What else C takes of a fit by the same names.
        """
        (X, X_unlabeled, X_trusted), named = self._in_order(X=X, X_unlabeled=X_unlabeled, X_trusted=X_trusted)
        for name, rows in (("X", X), ("X_unlabeled", X_unlabeled), ("X_trusted", X_trusted)):
            self._check_pixels(rows, name)
        y = positions(y, name="y", missing_allowed=True, class_names=self._class_names)
        if y_trusted is not None:
            y_trusted = positions(y_trusted, name="y_trusted", class_names=self._class_names)
        data = NamedArrays(X=X, y=y, X_unlabeled=X_unlabeled, X_trusted=X_trusted, y_trusted=y_trusted, **more)
        steps = None if steps is None else whole_number(steps, "steps")
        callbacks = _callbacks(callback)
        report = reporter(verbose)
        if report is not None:
            callbacks.insert(0, report)
        with contextlib.ExitStack() as ends:
            # Callbacks may give frames too, so the names come first; a fit without a step takes them back.
            if self._keep_names(named):
                before = self.steps
                ends.callback(lambda: self.steps == before and self._set_names("feature", []))
            for each in callbacks:
                if isinstance(each, Callback):
                    each.begin(self)
                    ends.callback(each.end, self)
            status = self._fit(data, steps, callbacks)
            # This comes before the ends, whose calls of the engine would replace the message.
            if status != _ffi.DIDACT_ECANCELLED:
                check(status)

    def _check_pixels(self, X: Any, name: str) -> None:
        """The engine would take true and false for the pixels 1 and 0, next to black."""
        if X is None or np.asarray(X).dtype != bool:
            return
        for key in ("weak_augmentation", "strong_augmentation"):
            if self.configuration.get(key, "none") != "none":
                raise TypeError(
                    f"{name} is bool; {key} changes uint8 images, pixels of 0 to 255: give "
                    f"{name}.astype(np.uint8) * 255, or leave {key} out"
                )

    def _fit(self, data: NamedArrays, steps: int | None, callbacks: list[Callable]) -> int:
        raised: list[BaseException] = []
        signals = HeldSignals()
        arguments = StepArguments(len(self._columns))

        def report(progress, payload):
            # ctypes would swallow an exception, so it is kept and raised after the call.
            try:
                with signals.released():
                    if not callbacks:
                        return 0
                    now = progress.contents
                    fields = {name: getattr(now, name) for name, *_ in _ffi.didact_progress._fields_ if name != "size"}
                    fields.update(self._read_metrics(arguments))
                    return int(any([bool(each(fields)) for each in callbacks]))
            except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too
                raised.append(error)
                return 1

        c_callback = _ffi.didact_progress_callback(report)
        with signals:
            status = library.didact_trainer_fit_dataset(
                self._handle.value, data.handle.value, to_json({"steps": steps}), c_callback, None
            )
        if raised:
            raise raised[0]
        return status

    def predict_proba(self, X: Any, role: str | None = None) -> np.ndarray:
        """Class probabilities [rows, classes], of networks that segment [rows, height, width, classes]. From any number of threads.

        Parameters
        ----------
        X : array [rows, inputs]
            Unscaled, as `fit` takes it; the named columns of a data frame are put into the order of `feature_names`.
        role : str, optional
            One of `roles`; `predictor_role` by default.
        """
        if type(X) is not np.ndarray:
            (X,), _ = self._in_order(X=X)
        if role is None:
            return self._predictions(X)
        x = borrow(X, "X")
        probabilities = self.student._empty(x.array)
        check(
            library.didact_trainer_predict_by(
                borrow(probabilities).pointer, self._handle.value, x.pointer, encoded(role, "role")
            )
        )
        return probabilities

    def predict(self, X: Any, role: str | None = None) -> np.ndarray:
        """The most probable class of each row, int64; of networks that segment, of each pixel [rows, height, width]. Takes what
        `predict_proba` takes."""
        return self.predict_proba(X, role).argmax(axis=-1)

    def store_distributions(
        self, path: str | os.PathLike, X: Any, X_unlabeled: Any = None, role: str | None = None
    ) -> None:
        """Stores what a network predicts for the rows that a student will learn from, for the method
        ``"reduced_meta_pseudo_labels"`` with ``teacher_distributions=path``. Completes or leaves the old file.

        Parameters
        ----------
        path : path
            Of a safetensors file; it gets the matrix ``distributions`` [N + M, classes].
        X : array [N, inputs]
            As the student's `fit` will take it; a memory-mapped array is read block by block.
        X_unlabeled : array [M, inputs], optional
            More rows without labels.
        role : str, optional
            Of the network, as in `predict_proba`.
        """
        (X, X_unlabeled), _ = self._in_order(X=X, X_unlabeled=X_unlabeled)
        X, X_unlabeled = borrow(X, "X"), optional(X_unlabeled, "X_unlabeled")
        check(
            library.didact_trainer_store_distributions(
                self._handle.value,
                X.pointer,
                optional_pointer(X_unlabeled),
                None if role is None else encoded(role, "role"),
                path_bytes(path),
            )
        )

    # What it is

    @property
    def configuration(self) -> dict[str, Any]:
        """All values by dotted key, with defaults filled in."""
        return json.loads(json.dumps(self._configuration))

    @property
    def method(self) -> str:
        return self._configuration["method"]

    @property
    def members(self) -> tuple[Trainer, ...]:
        """Trainers beside this one, of the key ``members``: `fit` trains them too, and the mean of all probabilities, the
        ensemble, predicts."""
        if self._members is None:
            count = number(library.didact_trainer_member_count, ctypes.c_int64, self._handle.value)
            self._members = tuple(
                Trainer._of(
                    make_handle(library.didact_trainer_member, library.didact_trainer_free, self._handle.value, index)
                )
                for index in range(count)
            )
        return self._members

    def __repr__(self) -> str:
        return f"<didact.Trainer {self.method}, {self.steps} steps, {self.student!r}>"

    # Copies and pickles

    def copy(self) -> Trainer:
        """A trainer of its own in the same state."""
        return Trainer._of(
            make_handle(library.didact_trainer_copy, library.didact_trainer_free, self._handle.value)
        )

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Trainer:
        return self.copy()

    def __reduce__(self) -> tuple:
        """A pickle holds what a file holds."""
        return _unpickled, (self.to_bytes(),)


def _unpickled(data: bytes) -> Any:
    """A trainer; or, in a child of `fork` that can have none, what says so once it is used.

    An error here would end a worker of `multiprocessing` before its task began, and its pool would start another for ever.
    """
    try:
        return Trainer.from_bytes(data)
    except DidactError as error:
        if error.status != _ffi.DIDACT_EFORK:
            raise
        return TrainerAfterFork(Trainer, (_unpickled, (data,)), error)


def _specification(network: Any, name: str) -> dict[str, Any]:
    if not isinstance(network, Mapping):
        raise TypeError(f"{name}: expected a specification, such as didact.mlp(...); got {type(network).__name__}")
    return dict(network)


def _callbacks(callback: Any) -> list[Callable]:
    if callback is None:
        return []
    callbacks = [callback] if callable(callback) else list(callback) if isinstance(callback, Sequence) else None
    if callbacks is None or not all(map(callable, callbacks)):
        raise TypeError(f"callback must be a callable or a sequence of callables, got {callback!r}")
    return callbacks
