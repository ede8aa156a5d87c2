"""Ctrl-C, and the signals by which systems end a process: the end of a run, in silence, with the code shells know."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end_at_once_when_interrupted() -> None:
    """Until a run begins and after its end: there is nothing to tidy up, and modules may be half imported."""
    _handle(_end_at_once)


def end_orderly_when_interrupted() -> None:
    """While a command runs: what it has begun is undone or finished on the way out."""
    _handle(_end_orderly)
    if not isinstance(sys.unraisablehook, _SignalReraiser):
        sys.unraisablehook = _SignalReraiser(sys.unraisablehook)


def _handle(handler: object) -> None:
    for number in _SIGNALS:
        # What a parent has turned off stays so, as under nohup; what a program has set itself, too.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _end_at_once, _end_orderly):
            try:
                signal.signal(number, handler)  # type: ignore[arg-type]
            except ValueError:  # in a thread that is not the main one
                return


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _end_orderly(number: int, frame: FrameType | None) -> None:
    raise _Interrupted(128 + number)


class _Interrupted(SystemExit):
    """Raised when a signal ends the run."""


class _SignalReraiser:
    """A sys.unraisablehook that raises a signal again if Python discarded its exception, as in weakref callbacks."""

    def __init__(self, former: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._former = former

    def __call__(self, dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, _Interrupted):
            number = int(str(dropped.exc_value.code)) - 128
            threading.Timer(0.01, signal.raise_signal, [number]).start()
        else:
            self._former(dropped)
