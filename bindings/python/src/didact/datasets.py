"""Built-in data, images from files, and the split that every front end of Didact makes alike."""

from __future__ import annotations

import ctypes
import json
from typing import Any, NamedTuple

import numpy as np

from . import _ffi
from ._arrays import _DTYPES, borrow, encoded, make_handle, path_bytes, real_number, text, to_json, view, whole_number
from ._errors import check
from ._labels import positions
from ._library import library


def load_digits(images: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """1,797 images of handwritten digits (E. Alpaydin and C. Kaynak, Optical Recognition of
    Handwritten Digits, UCI Machine Learning Repository, 1998), as in scikit-learn.

    Parameters
    ----------
    images : bool
        Whether to return images with pixels as those of files, from 0 to 255.

    Returns
    -------
    X : uint8 array [1797, 64], or [1797, 8, 8, 1] with ``images``
        8×8 pixels in 0..16; with ``images``, 255 / 16 times as much, rounded.
    y : int64 array [1797]
        Classes 0..9.
    """
    x, y = _ffi.didact_array(), _ffi.didact_array()
    check(library.didact_dataset_digits(ctypes.byref(x), ctypes.byref(y)))
    pixels = _copied(x)
    if images:
        pixels = ((pixels.astype(np.int64) * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    return pixels, _copied(y)


class Images(NamedTuple):
    """Image data from files. Images are [N, height, width, channels], uint8."""

    X: np.ndarray
    """What there is to learn from."""
    y: np.ndarray
    """int64: an index into ``class_names`` for each image of ``X``, or -1 for no label."""
    X_unlabeled: np.ndarray | None
    """More images, without labels."""
    X_test: np.ndarray | None
    y_test: np.ndarray | None
    class_names: list[str]
    files: list[str]
    """Of a folder: the file of each image of ``X``."""
    skipped: dict[str, str]
    """Of a folder: the files that were left out, and why."""


def load_cifar10(path: Any) -> Images:
    """CIFAR-10 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009) in its
    binary version: 50,000 images of 32×32×3 in 10 classes, and 10,000 to test on.

    Parameters
    ----------
    path : path
        ``cifar-10-binary.tar.gz`` as published, or the folder in it.
    """
    return _load(path, format="cifar10")


def load_cifar100(path: Any) -> Images:
    """CIFAR-100 in its binary version: as CIFAR-10, in 100 classes, the fine labels.

    Parameters
    ----------
    path : path
        ``cifar-100-binary.tar.gz`` as published, or the folder in it.
    """
    return _load(path, format="cifar100")


def load_svhn(path: Any) -> Images:
    """The cropped digits of SVHN (Y. Netzer et al., Reading Digits in Natural Images with
    Unsupervised Feature Learning, 2011): images of 32×32×3.

    Parameters
    ----------
    path : path
        A folder with ``train_32x32.mat``, perhaps ``test_32x32.mat`` and ``extra_32x32.mat``, which
        becomes ``X_unlabeled``; or one of these files.
    """
    return _load(path, format="svhn")


def load_image_folder(
    path: Any, image_size: tuple[int, int] | None = None, skip_corrupt: bool = False, threads: int = 0
) -> Images:
    """A folder of PNG and JPEG files: a sub-folder a class, and perhaps ``unlabeled``; or ``train`` and
    ``test``, each such a folder; or images alone, without labels.

    Parameters
    ----------
    path : path
    image_size : (int, int), optional
        Height and width to which every image is resized. All must have one size by default.
    skip_corrupt : bool
        Whether files that cannot be read are left out and listed in ``skipped``, instead of an error.
    threads : int
        Most threads to decode with, at most one a core; 0 for one a core.
    """
    options = {"skip_corrupt": bool(skip_corrupt), "threads": whole_number(threads, "threads")}
    if image_size is not None:
        try:
            lengths = list(image_size)
        except TypeError:
            raise TypeError(f"image_size must be (height, width), got {image_size!r}") from None
        options["image_size"] = [whole_number(length, "image_size") for length in lengths]
    return _load(path, format="image_folder", **options)


def _load(path: Any, **options: Any) -> Images:
    handle = make_handle(
        library.didact_dataset_open, library.didact_dataset_free, path_bytes(path), to_json(options)
    )
    found = json.loads(text(library.didact_dataset_description, handle.value))

    def array(name: str) -> np.ndarray | None:
        if name not in found["arrays"]:
            return None
        return view(library.didact_dataset_array, handle, handle.value, encoded(name, "name"))

    return Images(
        *(array(name) for name in Images._fields[:5]), found["class_names"], found["files"], found["skipped"]
    )


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
    check(library.didact_dataset_two_moons(borrow(x).pointer, borrow(y).pointer, real_number(noise, "noise"), seed))
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
    y = borrow(positions(y, name="y"))
    parts = np.empty(y.array.shape, np.int64)
    check(
        library.didact_dataset_split(
            borrow(parts).pointer,
            y.pointer,
            whole_number(labels, "labels"),
            real_number(test_fraction, "test_fraction"),
            whole_number(seed, "seed", bits=64),
        )
    )
    return Split(*(np.flatnonzero(parts == part) for part in range(3)))
