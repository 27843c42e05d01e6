"""Random changes of images, as the views of a fit make them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ._arrays import borrow, text, to_json, whole_number
from ._errors import check
from ._frames import positional
from ._library import library

# Bytes of images that are changed in one call of the engine. Between calls Python looks for Ctrl-C.
_BLOCK = 1 << 25


def augment(images: Any, policy: Any, seed: int = 0, draw: int = 0, threads: int = 0) -> np.ndarray:
    """Images changed at random by a policy, as ``weak_augmentation`` and ``strong_augmentation`` do in a fit.

    Parameters
    ----------
    images : uint8 array [N, height, width, channels] or [N, height, width]
    policy : str, dict or list
        The name of a policy, such as ``"fixmatch"``, or of an operation that needs no values, such as ``"flip"``; an
        operation with values, such as ``{"operation": "crop", "padding": 4}``; or a list of them, in the order in
        which they work.
        `augmentations` lists them.
    seed, draw : int
        The random numbers: one draw of a seed is one view of all images. An image changes in the same way
        whatever stands beside it.
    threads : int
        The most to use, 0 for one a core. The result does not depend on it.

    Returns
    -------
    uint8 array of the shape of `images`.
    """
    images = positional(images, "images")
    if images.dtype == bool:
        raise TypeError("images are bool; augmentation changes uint8 images, pixels of 0 to 255")
    result = np.empty(images.shape, np.uint8)
    description = to_json(policy)
    seed, draw = whole_number(seed, "seed", bits=64), whole_number(draw, "draw", bits=64)
    threads = whole_number(threads, "threads", bits=31)
    rows = max(1, _BLOCK // max(1, math.prod(images.shape[1:])))
    # No images are one call too, which checks the policy.
    for first in range(0, max(1, len(images) if images.ndim else 1), rows):
        part = slice(first, first + rows) if images.ndim else ...
        check(
            library.didact_augment(
                borrow(result[part]).pointer, borrow(images[part]).pointer, description, seed, draw, first, threads
            )
        )
    return result


def augmentations() -> dict[str, Any]:
    """What `augment` and the configuration keys ``weak_augmentation`` and ``strong_augmentation`` know.

    Returns
    -------
    dict
        ``policies``: a list of dicts with ``name``, ``meaning``, ``source`` and ``description``, the stages;
        ``operations``: a list of dicts with ``name`` and ``fields``, the keys that each takes.
    """
    return json.loads(text(library.didact_augmentations))
