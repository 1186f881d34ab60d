"""Ctrl-C as a request."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts_as_requests() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C is noted, for the loop to ask about; the second is raised as it always is.

    An exception in the middle of a compiled call would leave the loop without its state; and one that arrives while
    Python collects garbage is printed and lost.
    """
    noted = [False]

    def note(number: int, frame: FrameType | None) -> None:
        if noted[0]:
            raise KeyboardInterrupt
        noted[0] = True

    usual = signal.getsignal(signal.SIGINT)
    # Elsewhere than in the main thread nothing can be handled; and a handler of somebody else's is respected.
    ours = threading.current_thread() is threading.main_thread() and usual is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted[0]
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)
