"""Statuses of the C interface as exceptions."""

from __future__ import annotations

import sys
import warnings

from . import _ffi
from ._library import library


class DidactError(Exception):
    """Any failure that the engine reports.

    What is raised is also a ``ValueError``, ``TypeError``, ``OSError``, ``MemoryError`` or
    ``RuntimeError``, whichever fits.

    Attributes
    ----------
    status : int
        The status of the C interface, such as ``DIDACT_ESHAPE``.
    status_name : str
        Its name.
    """

    status: int = 0
    status_name: str = ""


class DidactWarning(UserWarning):
    """Something about data or training that its user should know and can act on, but that ends nothing.

    Attributes
    ----------
    code : str
        The kind: ``"poor_on_labels"``, ``"class_shares"``, ``"class_never_predicted"``, ``"few_labels"``,
        ``"few_steps"``, ``"steps_beyond_schedule"``, ``"rows_far_from_labels"``, ``"members_disagree"`` or ``"label_text"``; docs/python.md says what each means and what to do.
    """

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.code)


def warn_caller(warning: DidactWarning) -> None:
    """Warns of the line of the first caller outside of this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)


def _kind(name: str, base: type) -> type:
    return type(name, (DidactError, base), {"__module__": "didact", "__doc__": DidactError.__doc__})


DidactValueError = _kind("DidactValueError", ValueError)
DidactTypeError = _kind("DidactTypeError", TypeError)
DidactFileError = _kind("DidactFileError", OSError)
DidactMemoryError = _kind("DidactMemoryError", MemoryError)
DidactRuntimeError = _kind("DidactRuntimeError", RuntimeError)

_KINDS = {
    _ffi.DIDACT_EINVALID: DidactValueError,
    _ffi.DIDACT_ESHAPE: DidactValueError,
    _ffi.DIDACT_EDTYPE: DidactTypeError,
    _ffi.DIDACT_EDATA: DidactValueError,
    _ffi.DIDACT_EFILE: DidactFileError,
    _ffi.DIDACT_EFORMAT: DidactValueError,
    _ffi.DIDACT_EMEMORY: DidactMemoryError,
}


def check(status: int) -> None:
    """Raises where a call did not return ``DIDACT_OK``."""
    if status == _ffi.DIDACT_OK:
        return
    error = _KINDS.get(status, DidactRuntimeError)(library.didact_last_error_message().decode("utf-8", "replace"))
    error.status = status
    error.status_name = library.didact_status_name(status).decode()
    try:
        raise error
    finally:
        # The error refers to this frame and by it to the caller's, who would wait for the garbage collector.
        del error
