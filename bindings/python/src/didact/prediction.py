"""Predictions of few rows without delay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Handle, borrow, make_handle
from ._errors import check
from ._frames import positional
from ._library import library

if TYPE_CHECKING:
    from .network import Network

_FEW_ROWS = 64


class Predictor:
    """A frozen network bound to an input and an output array: the shortest way from one to the other.

    Calling it reads ``x`` and writes ``probabilities``. It has a copy of the network as it was when
    the predictor was made. For one thread at a time; make one for each thread.

    Parameters
    ----------
    network : Network
    x : array [rows, inputs]
        float32, float64, int64 or uint8. Kept, not copied: write new rows into it.
    probabilities : array [rows, classes], optional
        float32 or float64, writable; a new one by default.
    """

    __slots__ = ("_handle", "_probabilities", "_run", "_value", "_x")

    def __init__(self, network: Network, x: np.ndarray, probabilities: np.ndarray | None = None):
        from .network import Network

        if not isinstance(network, Network):
            raise TypeError(f"expected a didact.Network, got {type(network).__name__}; a trainer has .student")
        if probabilities is None:
            probabilities = network._empty(positional(x, "x"))
        for name, array in (("x", x), ("probabilities", probabilities)):
            if not isinstance(array, np.ndarray) or borrow(array, name).array is not array:
                raise TypeError(f"{name} must be an array of float32, float64, int64 or uint8, which is not copied")
        if not probabilities.flags.writeable:
            raise ValueError("probabilities must be writable")
        self._x, self._probabilities = x, probabilities
        self._handle = make_handle(
            library.didact_predictor_create,
            library.didact_predictor_free,
            network._handle.value,
            borrow(x).pointer,
            borrow(probabilities).pointer,
        )
        self._run, self._value = library.didact_predictor_run, self._handle.value

    # Without setters: C keeps the addresses of these two.

    @property
    def x(self) -> np.ndarray:
        """What every call reads; write new rows with ``predictor.x[...] = rows``."""
        return self._x

    @property
    def probabilities(self) -> np.ndarray:
        """What every call writes."""
        return self._probabilities

    def __call__(self) -> np.ndarray:
        """The class probabilities of the rows that ``x`` holds now: ``self.probabilities``."""
        status = self._run(self._value)
        if status:
            check(status)
        return self._probabilities


class Predictions:
    """Calls ``predict(probabilities, handle, x)`` of the C interface. Few rows go through arrays that
    are described to C only once."""

    def __init__(self, predict: Callable, handle: Handle, inputs: int, outputs: tuple[int, ...], dtype: np.dtype):
        self._predict = predict
        self._handle = handle
        # The lengths of the probabilities of one row.
        self._inputs, self._outputs, self._dtype = inputs, outputs, dtype
        # By number of rows; a thread takes one out while it uses it.
        self._idle: list[list[_Bound]] = [[] for _ in range(_FEW_ROWS + 1)]

    def __call__(self, x: Any) -> np.ndarray:
        array = x if type(x) is np.ndarray else positional(x, "x")
        if array.dtype != self._dtype or array.ndim != 2 or not 0 < array.shape[0] <= _FEW_ROWS:
            return self._call(array)
        rows, columns = array.shape
        if columns != self._inputs:
            return self._call(array)
        idle = self._idle[rows]
        try:
            bound = idle.pop()
        except IndexError:
            bound = _Bound(rows, self._inputs, self._outputs, self._dtype)
        bound.x[...] = array
        status = self._predict(bound.probabilities_pointer, self._handle.value, bound.x_pointer)
        if status:
            check(status)
        probabilities = bound.probabilities.copy()
        idle.append(bound)
        return probabilities

    def _call(self, array: np.ndarray) -> np.ndarray:
        x = borrow(array, "x")
        rows = array.shape[0] if array.ndim else 0
        probabilities = np.empty((rows, *self._outputs), self._dtype)
        check(self._predict(borrow(probabilities).pointer, self._handle.value, x.pointer))
        return probabilities


class _Bound:
    """An input and an output with their descriptions for C."""

    __slots__ = ("_borrowed", "probabilities", "probabilities_pointer", "x", "x_pointer")

    def __init__(self, rows: int, inputs: int, outputs: tuple[int, ...], dtype: np.dtype):
        self.x, self.probabilities = np.empty((rows, inputs), dtype), np.empty((rows, *outputs), dtype)
        self._borrowed = borrow(self.x), borrow(self.probabilities)
        self.x_pointer, self.probabilities_pointer = (borrowed.pointer for borrowed in self._borrowed)
