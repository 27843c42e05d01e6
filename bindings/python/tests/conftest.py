"""Finds the package and this folder's own modules, installed or not."""

import signal
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if importlib.util.find_spec("didact") is None:
    sys.path.insert(0, str(HERE.parent / "src"))

# A shell starts background jobs with SIGINT ignored, and programs started by these tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
