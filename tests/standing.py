"""Whatever is an async context, standing in a thread with an event loop of its own.

For tests of programs that run their own loop, and for modules whose tests share one running gateway.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

T = TypeVar("T")


@contextlib.contextmanager
def standing(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What `context` yields, for as long as the block lasts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(context) as yielded:
        yield yielded
