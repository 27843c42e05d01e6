"""Built-in data, and the split that every front end of Didact makes alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import ctypes

import numpy as np

from . import _ffi
from ._arrays import _DTYPES, borrow, labels as _labels, whole_number
from ._errors import check
from ._library import library


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 images of handwritten digits (E. Alpaydin and C. Kaynak, Optical Recognition of
    Handwritten Digits, UCI Machine Learning Repository, 1998), as in scikit-learn.

    Returns
    -------
    X : uint8 array [1797, 64]
        8×8 pixels in 0..16.
    y : int64 array [1797]
        Classes 0..9.
    """
    x, y = _ffi.didact_array(), _ffi.didact_array()
    check(library.didact_dataset_digits(ctypes.byref(x), ctypes.byref(y)))
    return _copied(x), _copied(y)


def _copied(struct: Any) -> np.ndarray:
    shape = tuple(struct.shape[i] for i in range(struct.ndim))
    dtype = _DTYPES[struct.dtype]
    count = int(np.prod(shape))
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(struct.data)
    return np.frombuffer(memory, dtype).reshape(shape).copy()


def make_two_moons(
    n_per_moon: int = 1000, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half circles, with scikit-learn's geometry.

    Returns
    -------
    X : float64 array [2 · n_per_moon, 2]
        The outer moon first.
    y : int64 array [2 · n_per_moon]
        0 for the outer moon, 1 for the inner one.
    """
    n_per_moon, seed = whole_number(n_per_moon, "n_per_moon"), whole_number(seed, "seed", bits=64)
    if n_per_moon < 1:
        raise ValueError(f"n_per_moon must be at least 1, got {n_per_moon}")
    x, y = np.empty((2 * n_per_moon, 2)), np.empty(2 * n_per_moon, np.int64)
    check(library.didact_dataset_two_moons(borrow(x).pointer, borrow(y).pointer, noise, seed))
    return x, y


class Split(NamedTuple):
    """Row indices."""

    labeled: np.ndarray
    unlabeled: np.ndarray
    test: np.ndarray


def split(y: Any, labels: int, test_fraction: float = 0.25, seed: int = 0) -> Split:
    """Chooses what each row is used for: a stratified test part, and labels for some of the rest,
    balanced over classes.

    Parameters
    ----------
    y : array [N]
        A class for each row.
    labels : int
        How many labels to keep, in all.
    test_fraction : float
        In [0, 1); 0 for no test part.
    """
    y = borrow(_labels(y, name="y"))
    parts = np.empty(y.array.shape, np.int64)
    check(
        library.didact_dataset_split(
            borrow(parts).pointer,
            y.pointer,
            whole_number(labels, "labels"),
            test_fraction,
            whole_number(seed, "seed", bits=64),
        )
    )
    return Split(*(np.flatnonzero(parts == part) for part in range(3)))
