"""`HeldSignals` lets Python's signal handlers wait while the engine trains, so that what they raise reaches the caller of
`Trainer.fit`. ctypes would swallow it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """No signal comes to this thread within it; the handlers of those that came before run first, and may raise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class HeldSignals:
    """Within it, Python's signal handlers wait for the next callback, Ctrl-C's and all others.

    Python runs them at the first chance, which is the very beginning of a callback: before its `try`, where ctypes swallows
    what they raise.
    """

    def __init__(self):
        self._handlers: dict[int, Callable] = {}
        self._held: list[tuple[int, Any]] = []
        self._released = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            with _blocked_signals():
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._handlers[number] = handler
                        signal.signal(number, self._on_signal)
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *exception: Any) -> None:
        if self._handlers:
            with _blocked_signals():
                self._restore()
        self._run_held()

    def _restore(self) -> None:
        """Puts all handlers back, whatever one of them raises meanwhile: signals may come to other threads."""
        raised = None
        for number, handler in self._handlers.items():
            # A callback may have set another.
            while signal.getsignal(number) == self._on_signal:
                try:
                    signal.signal(number, handler)
                except BaseException as error:
                    raised = error
        if raised is not None:
            raise raised

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Lets through what was held, and what comes until its end."""
        self._run_held()
        try:
            self._released = True
            yield
        finally:
            self._released = False

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._released:
            self._handlers[number](number, frame)
        else:
            self._held.append((number, frame))

    def _run_held(self) -> None:
        while self._held:
            number, frame = self._held.pop(0)
            self._handlers[number](number, frame)
