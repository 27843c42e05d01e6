"""Finds the package and this folder's own modules, installed or not."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if importlib.util.find_spec("didact") is None:
    sys.path.insert(0, str(HERE.parent / "src"))
