"""What all connections of one server share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ollm.net.outbox import outbox_of
from ollm.serving.http import Application, Header
from ollm.serving.limits import Limits

if TYPE_CHECKING:
    from ollm.serving.connection import Connection


class Shared:
    """The application, the limits, and who is connected or being answered."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop, limits: Limits, headers: Callable[[], Sequence[Header]]) -> None:
        self.app = app
        self.loop = loop
        self.outbox = outbox_of(loop)
        self.limits = limits
        self.headers = headers
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self.quiet = asyncio.Event()

    def task_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.note_quiet()

    def note_quiet(self) -> None:
        if self.draining and not self.connections and not self.tasks:
            self.quiet.set()
