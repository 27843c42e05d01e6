"""Networks and recorded passes."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import (
    ArrayMapping,
    Handle,
    borrow,
    encoded,
    make_handle,
    names,
    optional,
    optional_pointer,
    path_bytes,
    text,
    to_json,
    view,
    whole_number,
)
from ._errors import check
from ._frames import positional
from ._library import library
from ._specifications import (  # noqa: F401 - `didact.network.mlp` and so on
    efficientnet,
    mlp,
    resnet,
    sequential,
    small_cnn,
    wide_resnet,
)
from .prediction import Predictions


class Network:
    """A network with its parameters, gradients and running statistics.

    Parameters
    ----------
    specification : dict
        What `mlp` or `sequential` return.
    dtype : str
        ``"float32"`` or ``"float64"``.
    seed : int
        Of the initial parameters and of dropout masks.
    threads : int
        The most to use; 0 for one a core. Small work stays on one.
    math : str
        ``"direct"``, or ``"fast"``: convolutions may use Winograd's algorithm, which multiplies less and rounds more.
    bfloat16 : str
        ``"off"``; ``"on"``: convolutions multiply in bfloat16 and add in float32, which needs a processor with
        avx512_bf16; ``"emulate"``: the same computed in float32.
    """

    def __init__(
        self,
        specification: Mapping[str, Any],
        dtype: str = "float32",
        seed: int = 0,
        threads: int = 0,
        math: str = "direct",
        bfloat16: str = "off",
    ):
        description = {
            **specification,
            "dtype": str(np.dtype(dtype)),
            "seed": whole_number(seed, "seed"),
            "threads": whole_number(threads, "threads"),
            "math": math,
            "bfloat16": bfloat16,
        }
        self._adopt(make_handle(library.didact_network_create, library.didact_network_free, to_json(description)))

    @classmethod
    def _of(cls, handle: Handle) -> Network:
        network = cls.__new__(cls)
        network._adopt(handle)
        return network

    def _adopt(self, handle: Handle) -> None:
        self._handle = handle
        description = json.loads(text(library.didact_network_specification, handle.value))
        self._dtype = np.dtype(description.pop("dtype"))
        self._seed = description.pop("seed")
        self._specification = description
        inputs, classes = ctypes.c_int64(), ctypes.c_int64()
        check(library.didact_network_lengths(ctypes.byref(inputs), ctypes.byref(classes), handle.value))
        self._inputs = inputs.value
        task = json.loads(text(library.didact_network_task, handle.value))
        self._task, self._logit_lengths = task["task"], (*task["labels"], task["classes"])
        parameter_names = names(
            library.didact_network_parameter_count, library.didact_network_parameter_name, handle.value
        )
        statistic_names = names(
            library.didact_network_statistic_count, library.didact_network_statistic_name, handle.value
        )

        def views(keys: list[str], fill: Any, kind: str) -> ArrayMapping:
            return ArrayMapping(keys, lambda key: view(fill, handle, handle.value, encoded(key, "key")), kind)

        self._parameters = views(parameter_names, library.didact_network_parameter, "parameter")
        self._gradients = views(parameter_names, library.didact_network_gradient, "gradient")
        self._statistics = views(statistic_names, library.didact_network_statistic, "statistic")
        self._predictions = Predictions(
            library.didact_network_predict, handle, self._input_count(), self._logit_lengths, self._dtype
        )

    @property
    def specification(self) -> dict[str, Any]:
        """As given, with defaults filled in."""
        return json.loads(json.dumps(self._specification))

    @property
    def task(self) -> str:
        """What the network says of an example: ``"classification"``, its class, or ``"segmentation"``, the class of each of its
        pixels. Then labels are [rows, height, width], with 255 or -1 where a pixel has none, and what is [rows, classes]
        elsewhere is [rows, height, width, classes]."""
        return self._task

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def parameters(self) -> ArrayMapping:
        """Writable views by name, in public order; ``dense0.weight`` is [outputs, inputs]. A write
        is seen by the next call."""
        return self._parameters

    @property
    def gradients(self) -> ArrayMapping:
        """Views of what `Pass.backward` computed last, by parameter."""
        return self._gradients

    @property
    def statistics(self) -> ArrayMapping:
        """Writable views of running statistics by name."""
        return self._statistics

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Logits [rows, classes] of rows ``x`` [rows, inputs].

        In training mode batch normalisation uses the batch's statistics and moves the running ones,
        and dropout draws its next masks. NaN and infinities go through as through any arithmetic;
        `Trainer.predict_proba` refuses them.
        """
        x = borrow(x, "x")
        logits = self._empty(x.array)
        check(
            library.didact_network_forward(
                borrow(logits).pointer, self._handle.value, x.pointer, int(bool(training))
            )
        )
        return logits

    def predict_proba(self, x: Any) -> np.ndarray:
        """Class probabilities [rows, classes], with running statistics and no dropout.

        A network knows no names of columns: here, in `forward` and in `record`, a data frame with named columns is a
        TypeError, and ``frame.to_numpy()`` states their order.
        """
        return self._predictions(x)

    def output(self, x: Any, name: str = "features") -> np.ndarray:
        """What a layer gives for rows ``x`` [rows, inputs], with running statistics and no dropout: [rows, length].

        Parameters
        ----------
        x : array [rows, inputs]
        name : str
            Of a layer, such as ``"dense0"`` or ``"relu1"``; ``"features"`` for what the last layer reads, ``"logits"`` for
            the last one. Images of a layer come as rows, pixel by pixel with its channels side by side.
        """
        x, layer = borrow(x, "x"), encoded(name, "name")
        length = ctypes.c_int64()
        check(library.didact_network_output_length(ctypes.byref(length), self._handle.value, layer))
        output = np.empty((x.array.shape[0] if x.array.ndim else 0, length.value), self.dtype)
        check(library.didact_network_output(borrow(output).pointer, self._handle.value, x.pointer, layer))
        return output

    def record(self, x: Any, training: bool = True, draw: int | None = None) -> Pass:
        """A forward recorded at a snapshot of the parameters, for its backward and tangent.

        Parameters
        ----------
        x : array [rows, inputs]
        training : bool
            Batch statistics, which move the running ones, and dropout; or neither.
        draw : int, optional
            Which dropout masks; the network's next ones by default.
        """
        x = borrow(x, "x")
        handle = make_handle(
            library.didact_network_record,
            library.didact_pass_free,
            self._handle.value,
            x.pointer,
            int(bool(training)),
            -1 if draw is None else whole_number(draw, "draw"),
        )
        return Pass(self, handle, (x.array.shape[0], self._input_count()))

    def copy(self) -> Network:
        """A network of its own with the same values."""
        return Network._of(
            make_handle(library.didact_network_copy, library.didact_network_free, self._handle.value)
        )

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Network:
        return self.copy()

    def save(self, path: str | os.PathLike) -> None:
        """Writes parameters, statistics and specification to a safetensors file."""
        check(library.didact_network_save(self._handle.value, path_bytes(path)))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Network:
        """Reads a file that `save` wrote."""
        return cls._of(
            make_handle(library.didact_network_load, library.didact_network_free, path_bytes(path))
        )

    def resized(self, size: tuple[int, int]) -> Network:
        """The same parameters, gradients and statistics, not copies, as a network for images of another size.

        Parameters
        ----------
        size : (height, width)
        """
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise TypeError(f"size must be (height, width), got {size!r}")
        height, width = (whole_number(length, "size") for length in size)
        return Network._of(
            make_handle(
                library.didact_network_resized, library.didact_network_free, self._handle.value, height, width
            )
        )

    def __repr__(self) -> str:
        count = sum(array.size for array in self._parameters.values())
        return f"<didact.Network {self._specification['type']}, {count} parameters, {self._dtype}>"

    def _empty(self, x: np.ndarray) -> np.ndarray:
        """Room for the logits or probabilities of each row of ``x``."""
        return self._empty_logits(x.shape[0] if x.ndim else 0)

    def _empty_logits(self, rows: int) -> np.ndarray:
        return np.empty((rows, *self._logit_lengths), self._dtype)

    def _input_count(self) -> int:
        return self._inputs

    def _class_count(self) -> int:
        return self._logit_lengths[-1]

    def _flat(self, values: Mapping[str, Any], what: str) -> np.ndarray:
        """A vector over all parameters in public order; names that are left out are zero."""
        unknown = [name for name in values if name not in self._parameters]
        if unknown:
            raise KeyError(f"{what}: no parameter {unknown[0]!r}; there are {', '.join(self._parameters)}")
        parts = []
        for name, parameter in self._parameters.items():
            part = np.asarray(positional(values.get(name, 0), name), self._dtype)
            if part.shape not in (parameter.shape, ()):
                raise ValueError(f"{what}: {name} has shape {parameter.shape}, got {part.shape}")
            parts.append(np.broadcast_to(part, parameter.shape).ravel())
        return np.concatenate(parts) if parts else np.empty(0, self._dtype)

    def _named(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of a vector over all parameters, by name."""
        result, start = {}, 0
        for name, parameter in self._parameters.items():
            result[name] = flat[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size
        return result

    def _empty_flat(self) -> np.ndarray:
        return np.empty(sum(parameter.size for parameter in self._parameters.values()), self._dtype)


class Pass:
    """One recorded forward. Its backward and tangent are about the parameters of the forward,
    however the network's own have changed since. One pass serves one thread at a time."""

    def __init__(self, network: Network, handle: Handle, input_shape: tuple[int, ...]):
        self.network = network
        self._handle = handle
        self._input_shape = input_shape

    @property
    def logits(self) -> np.ndarray:
        """A copy of the logits [rows, classes]."""
        logits = self.network._empty_logits(self._input_shape[0])
        check(library.didact_pass_logits(borrow(logits).pointer, self._handle.value))
        return logits

    def backward(
        self, cotangent: Any, accumulate: bool = False, input_gradient: bool = False
    ) -> np.ndarray | None:
        """Reverse mode: the gradient of ⟨cotangent, logits⟩, into ``network.gradients``.

        Parameters
        ----------
        cotangent : array [rows, classes]
        accumulate : bool
            Add to the gradients instead of replacing them.
        input_gradient : bool
            Also return the gradient of the input [rows, inputs].
        """
        cotangent = borrow(cotangent, "cotangent")
        gradient = borrow(np.empty(self._input_shape, self.network.dtype)) if input_gradient else None
        check(
            library.didact_pass_backward(
                optional_pointer(gradient), self._handle.value, cotangent.pointer, int(bool(accumulate))
            )
        )
        return None if gradient is None else gradient.array

    def tangent(self, direction: Mapping[str, Any], input_direction: Any = None) -> np.ndarray:
        """Forward mode: the derivative of the logits along a direction.

        Parameters
        ----------
        direction : dict of str to array
            In the parameters; those left out are zero.
        input_direction : array [rows, inputs], optional
            In the input; zero by default.
        """
        tangent = self.network._empty_logits(self._input_shape[0])
        flat = borrow(self.network._flat(direction, "direction"))
        input_direction = optional(input_direction, "input_direction")
        check(
            library.didact_pass_tangent(
                borrow(tangent).pointer, self._handle.value, flat.pointer, optional_pointer(input_direction)
            )
        )
        return tangent


def load_pretrained(network: Network, path: str | os.PathLike, strict: bool = True) -> dict[str, Any]:
    """Reads weights from a safetensors file: of a network that this library saved, or of torchvision's or timm's ResNet
    or EfficientNet.

    Parameters
    ----------
    network : Network
        Takes the weights; on an error it stays as it is. Its last layer keeps its own where the numbers of classes
        differ. An average that a trainer keeps is a network of its own.
    path : path of the file
    strict : bool
        Whether everything but the last layer must be there in the right shape.

    Returns
    -------
    dict
        ``names`` (whose the file has: ``"didact"``, ``"torchvision"`` or ``"timm"``), ``matched``, ``kept`` (what the
        file does not have) and ``unused`` (what the network has no place for).
    """
    if not isinstance(network, Network):
        raise TypeError(f"expected a didact.Network, such as trainer.student, got {type(network).__name__}")
    value, place = network._handle.value, path_bytes(path)
    report = json.loads(text(library.didact_network_compare_pretrained, value, place))
    check(library.didact_network_load_pretrained(value, place, int(bool(strict))))
    return report
