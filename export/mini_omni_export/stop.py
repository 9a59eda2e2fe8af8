"""Ctrl-C, TERM and HUP as one exception, so that what was begun is cleared away before the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]


class Stopped(BaseException):
    """The process was asked to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the signals raise Stopped, once: a second one must not cut the clearing short.

    One that the process was started to ignore (nohup) stays ignored.
    """
    def stop(number: int, _frame: FrameType | None) -> None:
        _handle(_ignore)
        raise Stopped(number)

    with _restored():
        _handle(stop)
        yield


@contextmanager
def unstoppable() -> Iterator[None]:
    """Inside, the signals are ignored: for the clearing itself, which takes a moment."""
    with _restored():
        _handle(_ignore)
        yield


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN: for a signal on its way at that moment Python would print a complaint."""


@contextmanager
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if _main_thread() and handler is not None:
                signal.signal(number, handler)


def _handle(handler: Any) -> None:
    for number in SIGNALS:
        if _main_thread() and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _main_thread() -> bool:
    """Only there does Python let a program choose."""
    return threading.current_thread() is threading.main_thread()
