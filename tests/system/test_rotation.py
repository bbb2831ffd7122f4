"""An upstream that changes its keys again and again under load: no prompt under a key that wasn't verified, and hardly a failed request.

OLLM_ROTATION_SECONDS sets how long the traffic goes on (120 in a full run); keys change every five seconds.
"""

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ollm.ports import Sessions
from tests.rotating_enclave import RotatingEnclave, rotating_enclave
from tests.stage import Stage, configuration, opened

SECONDS = float(os.environ.get("OLLM_ROTATION_SECONDS", "30"))
EVERY = 5.0
CALLERS = 16


class Noting:
    """The archive of sessions, with the moment at which each was handed to it: none is used before."""

    def __init__(self, inner: Sessions) -> None:
        self._inner = inner
        self.verified: dict[tuple[str, str], float] = {}

    async def put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None:
        bindings = {each["type"]: each for each in json.loads(document)["channel_binding"]}
        keys = bindings["tls_spki_sha256"]["spki_sha256"], bindings["e2ee_public_key_sha256"]["public_key_sha256"]
        self.verified.setdefault(keys, asyncio.get_running_loop().time())
        await self._inner.put(session_id, upstream, expires_at, document)

    async def get(self, session_id: str) -> bytes | None:
        return await self._inner.get(session_id)


class Load:
    """Callers that ask without a pause until `seconds` are over."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self.requests = 0
        self.failures: list[str] = []
        self._stage = stage
        self._until = asyncio.get_running_loop().time() + seconds

    async def run(self) -> None:
        await asyncio.gather(*(self._caller(streamed=bool(number % 2)) for number in range(CALLERS)))

    async def _caller(self, *, streamed: bool) -> None:
        while asyncio.get_running_loop().time() < self._until:
            response = await self._stage.chat(stream=streamed)
            self.requests += 1
            whole = response.content.endswith(b"data: [DONE]\n\n") if streamed else b'"hi"' in response.content
            if response.status_code != 200 or not whole:
                self.failures.append(f"{response.status_code} {response.text[-300:]}")


async def rotated(stage: Stage, enclave: RotatingEnclave, seconds: float, every: float) -> tuple[Load, Noting]:
    keeper: Any = stage.gateway.keepers["enclave"]
    archive = keeper._archive = Noting(keeper._archive)
    load = Load(stage, seconds)
    running = asyncio.get_running_loop().create_task(load.run())
    while not running.done():
        await asyncio.wait((running,), timeout=every)
        enclave.rotate()
    await running
    return load, archive


def unverified(enclave: RotatingEnclave, archive: Noting) -> list[str]:
    """Prompts that came over a connection, or were opened by a key, that no session had been bound to before."""
    found = []
    for arrival in enclave.arrivals:
        opened = hashlib.sha256(arrival.opened_by).hexdigest() if arrival.opened_by is not None else None
        times = [at for (spki, sealing), at in archive.verified.items() if spki == arrival.spki_sha256 and opened in (None, sealing)]
        if not times or min(times) > arrival.at:
            found.append(f"{arrival.at}: {arrival.spki_sha256[:8]}, opened by {opened and opened[:8]}")
    return found


async def test_keys_that_change_every_second(socket_dir: Path) -> None:
    async with rotating_enclave(seconds=0.02) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        load, archive = await rotated(stage, enclave, 3.0, 1.0)
    assert unverified(enclave, archive) == []
    assert any(arrival.opened_by is None for arrival in enclave.arrivals), "some were sealed to a key that was gone: they came again"
    assert len(load.failures) < 0.05 * load.requests, (len(load.failures), load.requests, load.failures[:5])


@pytest.mark.slow
@pytest.mark.timeout(60 + 3 * SECONDS)
async def test_keys_that_change_every_five_seconds(socket_dir: Path) -> None:
    async with rotating_enclave(seconds=0.02) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        load, archive = await rotated(stage, enclave, SECONDS, EVERY)
    assert unverified(enclave, archive) == []
    assert enclave.rotations >= SECONDS // EVERY
    assert len(archive.verified) >= SECONDS // EVERY
    assert len(load.failures) < 0.001 * load.requests, (len(load.failures), load.requests, load.failures[:5])
