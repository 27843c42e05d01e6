"""Generated from VERSION by scripts/generate."""

__version__ = "0.2.0"
