"""Trainers: a method at work on its networks."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import _ffi
from ._arrays import (
    Borrowed,
    Handle,
    Slot,
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
from ._errors import DidactError, DidactWarning, check, warn_caller
from ._frames import column_names, ordered
from ._labels import positions
from ._library import library
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


class Trainer:
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
        self._idle_arguments: list[_StepArguments] = []
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

    # Networks and optimisers

    @property
    def student(self) -> Network:
        return self._network("student", library.didact_trainer_student)

    @property
    def teacher(self) -> Network:
        """Raises where the method has none."""
        return self._network("teacher", library.didact_trainer_teacher)

    @property
    def corrector(self) -> Network:
        """What ``"reduced_meta_pseudo_labels"`` trains in the teacher's place: from stored distributions to what is added
        to their logarithms. Raises where the method has none."""
        return self._network("corrector", library.didact_trainer_network, b"corrector")

    @property
    def average(self) -> Network | None:
        """The student's moving average; None where ``average_decay`` is not set."""
        if self._configuration["average_decay"] is None:
            return None
        return self._network("average", library.didact_trainer_average)

    @property
    def best(self) -> Network | None:
        """The best network of a fit by its validation part; None where ``validation_fraction`` is 0, or no fit
        got that far."""
        return self._stage("best")

    @property
    def finetuned(self) -> Network | None:
        """What the stage of ``finetune_steps`` trains; None before it."""
        return self._stage("finetuned")

    @property
    def roles(self) -> list[str]:
        """Of what can predict now: ``"student"``, then ``"teacher"``, ``"average"``, ``"best"`` and ``"finetuned"`` as
        method, configuration and steps so far made them, then ``"ensemble"`` where there are `members`."""
        return json.loads(text(library.didact_trainer_roles, self._handle.value))

    @property
    def predictor_role(self) -> str:
        """What predicts: ``"ensemble"`` where there are `members`, else the network ``"finetuned"`` once there is one, else
        ``"best"``, else ``"average"``, else ``"student"``."""
        return number(library.didact_trainer_predictor_role, ctypes.c_char_p, self._handle.value).decode()

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

    def _stage(self, role: str) -> Network | None:
        try:
            return self._network(role, library.didact_trainer_network, encoded(role, "role"))
        except DidactError as error:
            if error.status == _ffi.DIDACT_EUNSUPPORTED:
                return None
            raise

    def _network(self, role: str, get: Callable, *arguments: Any) -> Network:
        if role not in self._networks:
            self._networks[role] = Network._of(
                make_handle(get, library.didact_network_free, self._handle.value, *arguments)
            )
        return self._networks[role]

    @property
    def student_optimizer(self) -> Optimizer:
        return self._optimizer("student", self.student)

    @property
    def teacher_optimizer(self) -> Optimizer:
        """Raises where the method has none."""
        return self._optimizer("teacher", self.teacher)

    def _optimizer(self, role: str, network: Network) -> Optimizer:
        if role not in self._optimizers:
            handle = make_handle(
                library.didact_trainer_optimizer,
                library.didact_optimizer_free,
                self._handle.value,
                encoded(role, "role"),
            )
            self._optimizers[role] = Optimizer._of(network, handle)
        return self._optimizers[role]

    # Steps

    def step(self, xl: Any, yl: Any, xu: Any = None, xu_strong: Any = None) -> dict[str, float]:
        """One step. Of Meta Pseudo Labels it is `student_step`, `teacher_step` and `update_average`, bit for bit; other
        methods have no such parts.

        Parameters
        ----------
        xl : array [N, inputs]
            Labelled rows. The named columns of a data frame are put into the order of `feature_names`, which are
            those of the first frame; this holds for the other rows too.
        yl : array [N]
            A class for each of them: its position, or its name in `class_names`. Of networks that segment, masks as `fit`
            takes them.
        xu : array [M, inputs], optional
            Unlabelled rows, for methods that use them.
        xu_strong : array [M, inputs], optional
            Another view of the same rows; ``xu`` itself by default. Nothing is augmented here.

        Returns
        -------
        dict of str to float
            ``loss/<term>``, ``gradient_norm/<term>`` (terms: student, supervised, uda, feedback;
            without their weights), ``feedback`` (by how much the step lowered the student's
            labelled loss), ``mask_rate``, ``learning_rate/<student|teacher>``. A term of weight 0 is
            not computed and reads 0.
        """
        named = None
        if (
            type(xl) is not np.ndarray
            or not (xu is None or type(xu) is np.ndarray)
            or not (xu_strong is None or type(xu_strong) is np.ndarray)
        ):
            (xl, xu, xu_strong), named = self._in_order(xl=xl, xu=xu, xu_strong=xu_strong)
        yl = positions(yl, name="yl", class_names=self._class_names)
        # A thread takes the descriptions out while it uses them.
        idle = self._idle_arguments
        try:
            arguments = idle.pop()
        except IndexError:
            arguments = _StepArguments(len(self._columns))
        status = library.didact_trainer_step(
            self._handle.value,
            arguments.xl.borrow(xl, "xl"),
            arguments.yl.borrow(yl, "yl"),
            arguments.xu.borrow(xu, "xu"),
            arguments.xu_strong.borrow(xu_strong, "xu_strong"),
        )
        if status:
            check(status)
        if named is not None:
            self._keep_names(named)
        metrics = self._read_metrics(arguments)
        arguments.release()
        idle.append(arguments)
        return metrics

    def student_step(self, xu: Any, xu_strong: Any = None) -> dict[str, float]:
        """The student's half of a step: the teacher labels, the student learns."""
        (xu, xu_strong), named = self._in_order(xu=xu, xu_strong=xu_strong)
        xu, xu_strong = borrow(xu, "xu"), optional(xu_strong, "xu_strong")
        check(
            library.didact_trainer_student_step(
                self._handle.value, xu.pointer, optional_pointer(xu_strong)
            )
        )
        self._keep_names(named)
        return self.metrics

    def teacher_step(self, xl: Any, yl: Any) -> dict[str, float]:
        """The teacher's half of a step, after a `student_step`. Returns the metrics of both.

        Where it fails, but by divergence, nothing has changed, and it can be called again.
        """
        (xl,), named = self._in_order(xl=xl)
        xl, yl = borrow(xl, "xl"), borrow(positions(yl, name="yl", class_names=self._class_names))
        check(library.didact_trainer_teacher_step(self._handle.value, xl.pointer, yl.pointer))
        self._keep_names(named)
        return self.metrics

    def update_average(self) -> None:
        """Moves the student's average; nothing where none is kept."""
        check(library.didact_trainer_update_average(self._handle.value))

    @property
    def metrics(self) -> dict[str, float]:
        """What the last step reported."""
        return self._read_metrics(_StepArguments(len(self._columns)))

    def _read_metrics(self, arguments: _StepArguments) -> dict[str, float]:
        status = library.didact_trainer_metrics(arguments.metrics_pointer, self._handle.value)
        if status:
            check(status)
        # NaN stands for what was not reported.
        return {name: value for name, value in zip(self._columns, arguments.metrics.tolist()) if value == value}

    @property
    def steps(self) -> int:
        """Steps completed."""
        return number(library.didact_trainer_steps, ctypes.c_int64, self._handle.value)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The metrics of every completed step, by name."""
        while True:
            steps = self.steps
            table = np.empty((steps, len(self._columns)), np.float64)
            try:
                check(library.didact_trainer_history(borrow(table).pointer, self._handle.value))
            except ValueError:
                # Another thread may have completed a step in between.
                if self.steps == steps:
                    raise
            else:
                return {name: table[:, column].copy() for column, name in enumerate(self._columns)}

    @property
    def warnings(self) -> list[DidactWarning]:
        """What the last `fit` found that you should know; each has a ``code`` and says what can be done.

        `fit` shows them too, as Python's warnings. None after a fit that was stopped or made only some of its steps.
        """
        found = json.loads(text(library.didact_trainer_warnings, self._handle.value))
        return [DidactWarning(warning["message"], warning["code"]) for warning in found]

    # The meta-gradient

    def meta_gradient(
        self,
        xl: Any,
        yl: Any,
        xu: Any,
        xu_strong: Any = None,
        pseudo_labels: Any = None,
        draw: int = 0,
    ) -> dict[str, np.ndarray]:
        """The gradient of `meta_objective` with respect to the teacher's parameters: the feedback
        alone, without weight or baseline. Changes nothing.

        Parameters
        ----------
        xl, yl, xu, xu_strong
            As in `step`.
        pseudo_labels : array [M], optional
            A class for each unlabelled row in place of sampled ones; not for exact feedback.
        draw : int
            Which dropout masks and samples.

        Returns
        -------
        dict of str to array
            By parameter of the teacher.
        """
        out = self.teacher._empty_flat()
        self._meta(library.didact_trainer_meta_gradient, borrow(out).pointer, xl, yl, xu, xu_strong, pseudo_labels, draw)
        return self.teacher._named(out)

    def meta_objective(
        self,
        xl: Any,
        yl: Any,
        xu: Any,
        xu_strong: Any = None,
        pseudo_labels: Any = None,
        draw: int = 0,
    ) -> float:
        """The student's labelled loss after its step, L(θ′(φ)). Changes nothing. Takes what
        `meta_gradient` takes."""
        out = ctypes.c_double()
        self._meta(library.didact_trainer_meta_objective, ctypes.byref(out), xl, yl, xu, xu_strong, pseudo_labels, draw)
        return out.value

    def _meta(self, call, out, xl, yl, xu, xu_strong, pseudo_labels, draw) -> None:
        (xl, xu, xu_strong), _ = self._in_order(xl=xl, xu=xu, xu_strong=xu_strong)
        xl, xu, xu_strong = borrow(xl, "xl"), borrow(xu, "xu"), optional(xu_strong, "xu_strong")
        yl = borrow(positions(yl, name="yl", class_names=self._class_names))
        if pseudo_labels is not None:
            pseudo_labels = borrow(positions(pseudo_labels, name="pseudo_labels", class_names=self._class_names))
        check(
            call(
                out,
                self._handle.value,
                xl.pointer,
                yl.pointer,
                xu.pointer,
                optional_pointer(xu_strong),
                optional_pointer(pseudo_labels),
                whole_number(draw, "draw", bits=64),
            )
        )

    # Training and prediction

    def fit(
        self,
        X: Any,
        y: Any,
        X_unlabeled: Any = None,
        steps: int | None = None,
        callback: Callable[[dict[str, float]], Any] | Sequence[Callable[[dict[str, float]], Any]] | None = None,
        verbose: int = 0,
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

        Returns
        -------
        Trainer
            This one.
        """
        self._train(X, y, X_unlabeled, steps, callback, verbose)
        for warning in self.warnings:
            warn_caller(warning)
        return self

    def _train(
        self, X: Any, y: Any, X_unlabeled: Any, steps: int | None = None, callback: Any = None, verbose: int = 0
    ) -> None:
        """`fit` without a word."""
        (X, X_unlabeled), named = self._in_order(X=X, X_unlabeled=X_unlabeled)
        self._check_pixels(X, "X")
        self._check_pixels(X_unlabeled, "X_unlabeled")
        y = borrow(positions(y, name="y", missing_allowed=True, class_names=self._class_names))
        X, X_unlabeled = borrow(X, "X"), optional(X_unlabeled, "X_unlabeled")
        steps = -1 if steps is None else whole_number(steps, "steps")
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
            status = self._fit(X, y, X_unlabeled, steps, callbacks)
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

    def _fit(
        self, X: Borrowed, y: Borrowed, X_unlabeled: Borrowed | None, steps: int, callbacks: list[Callable]
    ) -> int:
        raised: list[BaseException] = []
        signals = _HeldSignals()
        arguments = _StepArguments(len(self._columns))

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
            status = library.didact_trainer_fit(
                self._handle.value, X.pointer, y.pointer, optional_pointer(X_unlabeled), steps, c_callback, None
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
    def class_names(self) -> list[str]:
        """Names of the classes, kept in model files; empty if none were given."""
        return self._names("class")

    @class_names.setter
    def class_names(self, values: Sequence[str]) -> None:
        self._set_names("class", values)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, kept in model files; empty if none were given.

        Training on a data frame sets them where there are none.

        Those of a model that ``didact train`` made from a table come from its columns: it is not saved with others.
        """
        return self._names("feature")

    @feature_names.setter
    def feature_names(self, values: Sequence[str]) -> None:
        self._set_names("feature", values)

    def _class_names(self) -> list[str]:
        return self._names("class")

    def _in_order(self, **given: Any) -> tuple[list[Any], list[str] | None]:
        """Returns arrays whose columns are in the order of the features, and the names that training on them would set.

        Where the trainer knows no names, the first data frame says the order for the others.
        """
        expected: list[str] | None = None
        is_known = False
        arrays = []
        for name, X in given.items():
            if X is not None and type(X) is not np.ndarray:
                found = column_names(X, name)
                if found is not None and not is_known:
                    kept = self.feature_names
                    expected, is_known = kept or found, True
                X = ordered(X, expected, name)
            arrays.append(X)
        return arrays, expected

    def _keep_names(self, names: list[str] | None) -> bool:
        """Sets the names of the features where there are none yet. Returns whether it did."""
        if names is None or len(names) != self.student._input_count() or self.feature_names:
            return False
        self.feature_names = names
        return True

    def _names(self, kind: str) -> list[str]:
        return json.loads(text(library.didact_trainer_names, self._handle.value, encoded(kind, "kind")))

    def _set_names(self, kind: str, values: Sequence[str]) -> None:
        check(
            library.didact_trainer_set_names(
                self._handle.value, encoded(kind, "kind"), to_json([str(value) for value in values])
            )
        )

    # Files

    def copy(self) -> Trainer:
        """A trainer of its own in the same state."""
        return Trainer._of(
            make_handle(library.didact_trainer_copy, library.didact_trainer_free, self._handle.value)
        )

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Trainer:
        return self.copy()

    def save(self, path: str | os.PathLike) -> None:
        """Writes a safetensors file from which training goes on as if uninterrupted. Completes or
        leaves the old file."""
        check(library.didact_trainer_save(self._handle.value, path_bytes(path)))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trainer:
        """Reads a file that `save` wrote."""
        return cls._of(
            make_handle(library.didact_trainer_load, library.didact_trainer_free, path_bytes(path))
        )

    def to_bytes(self) -> bytes:
        """What `save` writes, in memory."""
        length = ctypes.c_int64()
        data = bytearray()
        while True:
            room = (ctypes.c_char * len(data)).from_buffer(data) if data else None
            check(library.didact_trainer_to_bytes(room, len(data), ctypes.byref(length), self._handle.value))
            # A step of another thread makes the history longer.
            if length.value <= len(data):
                del room
                return bytes(memoryview(data)[: length.value])
            del room
            data = bytearray(length.value)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trainer:
        """Makes a trainer of what `to_bytes` gave, or of the bytes of a file.

        Raises
        ------
        ValueError
            Where they are damaged. Nothing in them is executed.
        """
        view = memoryview(data).cast("B")
        held = np.frombuffer(view, np.uint8)
        return cls._of(
            make_handle(
                library.didact_trainer_from_bytes, library.didact_trainer_free, held.ctypes.data, len(held)
            )
        )

    def __reduce__(self) -> tuple:
        """A pickle holds what a file holds."""
        return _unpickled, (self.to_bytes(),)

    def _annotation(self, key: str) -> str | None:
        """A text that model files and copies keep; None for none."""
        try:
            return text(library.didact_trainer_annotation, self._handle.value, encoded(key, "key"))
        except ValueError:
            return None

    def _annotate(self, key: str, value: str) -> None:
        check(library.didact_trainer_set_annotation(self._handle.value, encoded(key, "key"), encoded(value, "value")))

    def __repr__(self) -> str:
        return f"<didact.Trainer {self.method}, {self.steps} steps, {self.student!r}>"


def _unpickled(data: bytes) -> Any:
    """A trainer; or, in a child of `fork` that can have none, what says so once it is used.

    An error here would end a worker of `multiprocessing` before its task began, and its pool would start another for ever.
    """
    try:
        return Trainer.from_bytes(data)
    except DidactError as error:
        if error.status != _ffi.DIDACT_EFORK:
            raise
        return _TrainerAfterFork(data, error)


class _TrainerAfterFork:
    """A trainer in a process that was forked after Didact was used: whatever it is asked for is the error that says so."""

    def __init__(self, data: bytes, error: DidactError):
        self._data = data
        self._error = error

    def __getattr__(self, name: str) -> Any:
        # Python itself asks for special names, to copy and to pickle.
        if name.startswith("__"):
            raise AttributeError(name)
        # A method is looked up where a task is unpickled, and called where an error reaches the parent.
        if callable(getattr(Trainer, name, None)):
            return self._refuse
        raise self._error

    def _refuse(self, *arguments: Any, **options: Any) -> Any:
        raise self._error

    def __reduce__(self) -> tuple:
        return _unpickled, (self._data,)


class _StepArguments:
    """The arguments of a step and its metrics, described to C once."""

    __slots__ = ("_borrowed", "metrics", "metrics_pointer", "xl", "xu", "xu_strong", "yl")

    def __init__(self, columns: int):
        self.xl, self.yl, self.xu, self.xu_strong = Slot(), Slot(), Slot(), Slot()
        self.metrics = np.empty(columns)
        self._borrowed = borrow(self.metrics)
        self.metrics_pointer = self._borrowed.pointer

    def release(self) -> None:
        for slot in (self.xl, self.yl, self.xu, self.xu_strong):
            slot.release()


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """No signal comes to this thread within it; the handlers of those that came before run first, and may raise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _HeldSignals:
    """Within it, Python's signal handlers wait for the next callback, Ctrl-C's and all others.

    Python runs them at the first chance, which is the very beginning of a callback: before its `try`, where ctypes swallows
    what they raise.
    """

    def __init__(self):
        self._handlers: dict[int, Callable] = {}
        self._held: list[tuple[int, Any]] = []
        self._released = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            with _blocked_signals():
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._handlers[number] = handler
                        signal.signal(number, self._on_signal)
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *exception: Any) -> None:
        if self._handlers:
            with _blocked_signals():
                self._restore()
        self._run_held()

    def _restore(self) -> None:
        """Puts all handlers back, whatever one of them raises meanwhile: signals may come to other threads."""
        raised = None
        for number, handler in self._handlers.items():
            # A callback may have set another.
            while signal.getsignal(number) == self._on_signal:
                try:
                    signal.signal(number, handler)
                except BaseException as error:
                    raised = error
        if raised is not None:
            raise raised

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Lets through what was held, and what comes until its end."""
        self._run_held()
        try:
            self._released = True
            yield
        finally:
            self._released = False

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._released:
            self._handlers[number](number, frame)
        else:
            self._held.append((number, frame))

    def _run_held(self) -> None:
        while self._held:
            number, frame = self._held.pop(0)
            self._handlers[number](number, frame)


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
