"""What nobody caught is told by its type alone: an exception's text and an object's repr can hold what a request held."""

import asyncio
import logging
import sys
import threading
from typing import Any, Protocol

log = logging.getLogger("ollm.process")


class _Unraisable(Protocol):
    """`sys.UnraisableHookArgs`, which exists for type checkers alone."""

    exc_type: type[BaseException]


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Take the place of Python's and asyncio's own reports in this process, and keep `loop` out of its debug mode.

    asyncio names callbacks with their arguments in its reports, and in debug mode (PYTHONASYNCIODEBUG) also whenever one was slow.
    """
    loop.set_debug(False)
    loop.set_exception_handler(_in_loop)
    sys.unraisablehook = _in_destructor
    threading.excepthook = _in_thread


def _in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    problem = context.get("exception")
    log.error("unhandled in the event loop", extra={"error": type(problem).__name__ if problem is not None else "none"})


def _in_destructor(unraisable: _Unraisable) -> None:
    log.error("unhandled in a destructor", extra={"error": unraisable.exc_type.__name__})


def _in_thread(args: threading.ExceptHookArgs) -> None:
    log.error("unhandled in a thread", extra={"error": args.exc_type.__name__})
