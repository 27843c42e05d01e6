"""NumPy arrays across the C interface."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import _ffi
from ._errors import check
from ._frames import plain, positional
from ._library import library

_CODES = {
    np.dtype(np.float32): _ffi.DIDACT_FLOAT32,
    np.dtype(np.float64): _ffi.DIDACT_FLOAT64,
    np.dtype(np.int64): _ffi.DIDACT_INT64,
    np.dtype(np.uint8): _ffi.DIDACT_UINT8,
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}


_DIMENSIONS = [ctypes.c_int64 * max(1, rank) for rank in range(5)]


def _address(array: np.ndarray) -> int:
    try:
        # Three times as fast as array.ctypes.data, but only for memory that is writable and without gaps.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError, BufferError):
        return array.ctypes.data


class Borrowed:
    """A C description of an array, and what must stay alive while C reads it.

    Arrays of the four dtypes of the interface are passed as they lie in memory, strides included;
    others are converted, which copies. Masked values and data frames with named columns are refused: see `positional`.
    """

    __slots__ = ("array", "struct", "_shape", "_strides")

    def __init__(self, values: Any, name: str = "the array"):
        array = values if type(values) is np.ndarray else positional(values, name)
        code = _CODES.get(array.dtype)
        if code is None:
            array = _converted(array, name)
            code = _CODES[array.dtype]
        self.array = array
        rank = array.ndim
        dimensions = _DIMENSIONS[rank] if rank < len(_DIMENSIONS) else ctypes.c_int64 * rank
        self._shape = dimensions(*array.shape)
        # None is row-major without gaps.
        self._strides = None if array.flags.c_contiguous else dimensions(*array.strides)
        self.struct = _ffi.didact_array(_address(array), code, rank, self._shape, self._strides)

    @property
    def pointer(self):
        return ctypes.byref(self.struct)


class Slot:
    """A description that is used again for one argument of many calls: while shape and dtype stay, only the address
    is written."""

    __slots__ = ("_borrowed", "_dtype", "_shape", "array", "pointer")

    def __init__(self):
        self._shape = None

    def borrow(self, values: Any, name: str = "the array"):
        """What to pass to C; valid until `release` or the next call."""
        if values is None:
            return None
        array = values if type(values) is np.ndarray else positional(values, name)
        if array.shape == self._shape and array.dtype == self._dtype and array.flags.c_contiguous:
            self.array = array
            self._borrowed.struct.data = _address(array)
            return self.pointer
        self._borrowed = borrowed = Borrowed(array, name)
        self.array, self.pointer = borrowed.array, borrowed.pointer
        is_plain = borrowed.array is array and array.flags.c_contiguous
        self._shape, self._dtype = (array.shape, array.dtype) if is_plain else (None, None)
        borrowed.array = None
        return self.pointer

    def release(self) -> None:
        """After the call: the array is the caller's alone again."""
        self.array = None


def borrow(values: Any, name: str = "the array") -> Borrowed:
    return Borrowed(values, name)


def optional(values: Any, name: str) -> Borrowed | None:
    return None if values is None else Borrowed(values, name)


def optional_pointer(borrowed: Borrowed | None):
    return None if borrowed is None else borrowed.pointer


def _converted(array: np.ndarray, name: str) -> np.ndarray:
    # Structured arrays and objects that are no numbers are refused here.
    array = plain(array, name)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8)
    if kind == "i" or (kind == "u" and size < 8):
        return array.astype(np.int64)
    if kind == "f" and size <= 4:
        # float16; also other byte orders.
        return array.astype(np.float32)
    if kind in "fu":
        return array.astype(np.float64)
    raise TypeError(f"expected an array of numbers: {name} has dtype {array.dtype}")


def encoded(text: Any, name: str) -> bytes:
    """A text as C takes it. Raises TypeError for what is none, ValueError for one with a NUL, which C would end it at."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text, got {shown(text)}")
    if "\0" in text:
        raise ValueError(f"{name} has a NUL in it: {shown(text)}")
    return text.encode("utf-8", "surrogateescape")


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def real_number(value: Any, name: str) -> float:
    """A number as C takes it. Raises TypeError for what is none, ValueError for one too large."""
    try:
        return float(operator.index(value) if hasattr(value, "__index__") else value * 1.0)
    except OverflowError:
        raise ValueError(f"{name} is too large: {shown(value)}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None


def whole_number(value: Any, name: str, bits: int = 63) -> int:
    """A number in 0..<2^bits. ctypes itself would drop the bits that do not fit."""
    try:
        number = operator.index(None if isinstance(value, bool) else value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {shown(value)}") from None
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{name} must be in [0, 2^{bits}), got {shown(number)}")
    return number


class Handle:
    """Owns one handle of the C interface and frees it at its end."""

    __slots__ = ("value", "_free", "__weakref__")

    def __init__(self, value: Any, free: Callable[[Any], None]):
        self.value = value
        self._free = free

    def __del__(self):
        # At interpreter shutdown parts of this may be gone already; then the process frees all.
        free = getattr(self, "_free", None)
        if free is not None and self.value:
            free(self.value)
            self.value = None

    def __reduce__(self) -> tuple:
        raise TypeError(
            "what the engine holds cannot be pickled or copied in part; pickle or copy the Trainer or classifier, "
            "save a Network, and make optimizers, averages and passes anew"
        )


def path_bytes(path: Any) -> bytes:
    """A file name for C."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError(f"the file name contains a NUL character: {path!r}")
    return name


def make_handle(create: Callable, free: Callable, *arguments: Any) -> Handle:
    """Calls ``create(&handle, *arguments)``."""
    out = ctypes.c_void_p()
    check(create(ctypes.byref(out), *arguments))
    return Handle(out.value, free)


class NamedArrays:
    """Data of the C interface: arrays by name, which stay where they are. None for one that is not there."""

    def __init__(self, **arrays: Any):
        self.handle = make_handle(library.didact_dataset_create, library.didact_dataset_free)
        self._kept = {name: Borrowed(array, name) for name, array in arrays.items() if array is not None}
        for name, array in self._kept.items():
            check(library.didact_dataset_set_array(self.handle.value, name.encode(), array.pointer))


def view(fill: Callable, owner: Handle, *arguments: Any) -> np.ndarray:
    """The library's own memory as an array that keeps ``owner`` alive. Writes go through."""
    struct = _ffi.didact_array()
    check(fill(ctypes.byref(struct), *arguments))
    dtype = _DTYPES[struct.dtype]
    shape = tuple(struct.shape[i] for i in range(struct.ndim))
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(struct.data)
    memory.owner = owner
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def text(fill: Callable, *arguments: Any) -> str:
    """A string that C copies out in two calls, or more where another thread made it longer between them."""
    length = ctypes.c_int64(64)
    while True:
        capacity = length.value
        buffer = ctypes.create_string_buffer(capacity)
        check(fill(buffer, capacity, ctypes.byref(length), *arguments))
        if length.value <= capacity:
            return buffer.value.decode()


def number(read: Callable, ctype: Any, *arguments: Any) -> Any:
    """One number that C writes to its first argument."""
    out = ctype()
    check(read(ctypes.byref(out), *arguments))
    return out.value


def names(count: Callable, name: Callable, handle: Any) -> list[str]:
    """A list of names that C gives by index."""
    result = []
    out = ctypes.c_char_p()
    for index in range(number(count, ctypes.c_int64, handle)):
        check(name(ctypes.byref(out), handle, index))
        result.append(out.value.decode())
    return result


def to_json(value: Any) -> bytes:
    """JSON for the engine; NumPy numbers and arrays are taken as Python's."""

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            # That of a long double is one again.
            return float(item) if isinstance(item, np.longdouble) else item.item()
        if isinstance(item, np.ndarray):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} cannot be part of a configuration: {item!r}")

    try:
        return json.dumps(value, default=plain, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is half a character; text must be valid Unicode") from None
    except RecursionError:
        raise ValueError("configuration: it is nested too deep") from None
    except ValueError as error:
        # JSON has no NaN and no infinity; say where one is.
        if "Circular" in str(error):
            raise ValueError("configuration: it is part of itself") from None
        places = ", ".join(itertools.islice(_not_finite(value), 10)) or "a value"
        raise ValueError(f"configuration: {places} is not a finite number") from None


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    """Where NaN and infinities are, such as ``layers[1].slope``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple, np.ndarray)):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{place}[{index}]")
    elif isinstance(value, (float, np.floating)) and not np.isfinite(value):
        yield place


class ArrayMapping(Mapping):
    """Arrays by name, in a fixed order. ``mapping[name]`` is a view: writing to it writes to the
    engine's memory. ``mapping[name] = values`` copies values into it."""

    def __init__(self, keys: list[str], get: Callable[[str], np.ndarray], kind: str):
        self._views: dict[str, np.ndarray | None] = dict.fromkeys(keys)
        self._get = get
        self._kind = kind

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._views:
            raise KeyError(f"no {self._kind} {key!r}; there are {', '.join(self._views) or 'none'}")
        found = self._views[key]
        if found is None:
            found = self._views[key] = self._get(key)
        return found

    def __setitem__(self, key: str, values: Any) -> None:
        array = positional(values, key)
        target = self[key]
        if array.shape not in (target.shape, ()):
            raise ValueError(f"{key} has shape {target.shape}, got {array.shape}")
        target[...] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{key!r}: {self[key].shape}" for key in self) + "}"
