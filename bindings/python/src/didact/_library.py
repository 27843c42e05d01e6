"""Finds and loads the shared library."""

import ctypes
import os
import sys
from pathlib import Path

from . import _ffi
from ._version import __version__

_NAME = "libdidact.dylib" if sys.platform == "darwin" else "libdidact.so"


def _candidates():
    """(where it is from, path), in the order of preference."""
    chosen = os.environ.get("DIDACT_LIBRARY")
    if chosen:
        # A choice is a choice: nothing else is tried.
        return [("$DIDACT_LIBRARY", Path(chosen))]
    package = Path(__file__).resolve().parent
    found = [("the package", package / "_lib" / _NAME)]
    # bindings/python/src/didact -> the checkout
    if len(package.parents) > 3 and (package.parents[3] / "Package.swift").exists():
        found.append(("the checkout", package.parents[3] / "build" / "lib" / _NAME))
    return found


def _load():
    tried = []
    for origin, path in _candidates():
        try:
            loaded = ctypes.CDLL(os.fspath(path))
            _ffi.declare(loaded)
        except (OSError, AttributeError) as error:
            tried.append(f"  {path} ({origin}): {error}")
            continue
        version = loaded.didact_abi_version()
        if version != _ffi.DIDACT_ABI_VERSION:
            raise ImportError(
                f"{path} has binary interface {version}, this package ({__version__}) needs "
                f"{_ffi.DIDACT_ABI_VERSION}: library and package are of different versions. Reinstall "
                "didact, or run scripts/build in the checkout, and check $DIDACT_LIBRARY"
            )
        return loaded, path
    raise ImportError(
        "the Didact library could not be loaded. Tried:\n"
        + "\n".join(tried)
        + "\nRun scripts/build in a checkout, install the package again, or set DIDACT_LIBRARY to the file."
    )


library, library_path = _load()
