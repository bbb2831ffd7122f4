"""What the connections of one server share: when a draining server is done."""

import asyncio

from ollm.serving.http import Receive, Scope, Send
from ollm.serving.limits import Limits
from ollm.serving.shared import Shared


async def unused(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("not asked here")


async def test_it_is_quiet_once_it_drains_and_the_last_task_is_done() -> None:
    shared = Shared(unused, asyncio.get_running_loop(), Limits(), tuple)
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(2)]
    shared.tasks.update(tasks)
    shared.note_quiet()
    assert not shared.quiet.is_set()
    shared.draining = True
    await asyncio.gather(*tasks)
    shared.task_done(tasks[0])
    assert not shared.quiet.is_set()
    shared.task_done(tasks[1])
    assert shared.quiet.is_set()
