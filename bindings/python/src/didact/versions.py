"""What is installed, for bug reports."""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

import numpy as np

from ._library import library, library_path
from ._version import __version__


def build_info() -> dict[str, Any]:
    """How the loaded library was built."""
    return json.loads(library.didact_build_info())


def show_versions() -> None:
    """Prints the versions of Didact, its library, Python, NumPy and optional packages."""
    # Here, because it would be half the time that importing the package takes.
    from importlib import metadata

    lines = {
        "didact": __version__,
        "library": f"{library.didact_version().decode()} ({library_path})",
        "build": ", ".join(f"{key} {value}" for key, value in build_info().items()),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "numpy": np.__version__,
    }
    for package in ("scikit-learn", "matplotlib", "tqdm", "mpi4py", "safetensors"):
        try:
            lines[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            lines[package] = "not installed"
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:>{width}}: {value}")
