"""`TrainerAfterFork` stands in for a trainer where a pickle of one arrives in a child of `fork` that can have none."""

from __future__ import annotations

from typing import Any

from ._errors import DidactError


class TrainerAfterFork:
    """A trainer in a process that was forked after Didact was used: whatever it is asked for is the error that says so.

    Parameters
    ----------
    kind : type
        The class that it stands in for.
    reduced : tuple
        What pickles it again, as the trainer itself was pickled.
    error : DidactError
    """

    def __init__(self, kind: type, reduced: tuple, error: DidactError):
        self._kind = kind
        self._reduced = reduced
        self._error = error

    def __getattr__(self, name: str) -> Any:
        # Python itself asks for special names, to copy and to pickle.
        if name.startswith("__"):
            raise AttributeError(name)
        # A method is looked up where a task is unpickled, and called where an error reaches the parent.
        if callable(getattr(self._kind, name, None)):
            return self._refuse
        raise self._error

    def _refuse(self, *arguments: Any, **options: Any) -> Any:
        raise self._error

    def __reduce__(self) -> tuple:
        return self._reduced
