"""Exceptions that nobody caught, in a process of its own: their types are told, their texts and arguments are not."""

import os
import subprocess
import sys

import pytest

SECRET = "the patient is called Doe"
SCRIPT = """
import asyncio, gc, logging, sys, threading, time
import uvloop
from ollm.cli.logs import configure
from ollm.serving import last_resort

SECRET = sys.argv[2]
configure("debug")

def fail(text):
    raise LookupError(text)

class Failing:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise BufferError(self.text)

    def __repr__(self):
        return self.text

async def forgotten():
    fail(SECRET)

async def slow(text):
    time.sleep(0.2)

async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, SECRET)
    task = loop.create_task(forgotten())
    await asyncio.sleep(0)
    await loop.create_task(slow(SECRET))
    future = loop.create_future()
    future.set_result(SECRET)
    loop.call_soon(time.sleep, 0.15)
    await future
    thread = threading.Thread(target=fail, args=(SECRET,))
    thread.start()
    thread.join()
    Failing(SECRET)
    del task
    gc.collect()
    await asyncio.sleep(0.2)

factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    last_resort.install(runner.get_loop())
    runner.run(main())
"""


@pytest.mark.process
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_types_are_told_and_texts_are_not(loop: str) -> None:
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, loop, SECRET], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert said.count("ERROR ollm.process: unhandled in the event loop error=LookupError") == 2
    assert "ERROR ollm.process: unhandled in a thread error=LookupError" in said
    assert "ERROR ollm.process: unhandled in a destructor error=BufferError" in said
