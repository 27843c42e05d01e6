"""`TrainerFiles` is the part of `Trainer` that writes a trainer to a file or to bytes, and reads it again."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

import numpy as np

from ._arrays import Handle, encoded, make_handle, path_bytes, text
from ._errors import check
from ._library import library

if TYPE_CHECKING:
    from .trainer import Trainer


class TrainerFiles:
    """The files of a `Trainer`."""

    _handle: Handle

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

    def _annotation(self, key: str) -> str | None:
        """A text that model files and copies keep; None for none."""
        try:
            return text(library.didact_trainer_annotation, self._handle.value, encoded(key, "key"))
        except ValueError:
            return None

    def _annotate(self, key: str, value: str) -> None:
        check(library.didact_trainer_set_annotation(self._handle.value, encoded(key, "key"), encoded(value, "value")))
