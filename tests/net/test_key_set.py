"""Keys of an issuer over time: how often they are asked for, how long they are believed, and what happens while they can't be had."""

import asyncio
from pathlib import Path

import pytest

from ollm.errors import UpstreamError
from ollm.net.fetch import HttpFetch
from ollm.net.key_set import FRESH_SECONDS, UNKNOWN_SECONDS, IssuerKeys, from_file, from_url
from ollm.serving.http import Receive, Scope, Send, respond
from ollm.serving.server import Server
from tests.issuing import Authority, jwk, key_set

HOUR = 3600.0


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> int:
        return int(self.at)

    def now_ms(self) -> int:
        return int(self.at * 1000)

    def monotonic(self) -> float:
        return self.at


class Source:
    """A document that a test changes, or takes away."""

    def __init__(self, document: bytes) -> None:
        self.document: bytes | None = document
        self.reads = 0
        self.held: asyncio.Event | None = None

    async def read(self) -> bytes:
        self.reads += 1
        if self.held is not None:
            await self.held.wait()
        if self.document is None:
            raise UpstreamError("connect", "away")
        return self.document


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def source() -> Source:
    return Source(Authority().jwks)


async def test_keys_are_looked_for_once_and_kept(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    assert keys.held("first", "ES256") is None
    found = [await keys.find("first", "ES256") for _ in range(3)]
    assert found[0] is not None
    assert found == [found[0]] * 3
    assert source.reads == 1


async def test_many_that_ask_at_once_share_one_look(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    source.held = asyncio.Event()
    asked = [asyncio.create_task(keys.find("first", "ES256")) for _ in range(5)]
    await asyncio.sleep(0)
    asked[0].cancel()
    source.held.set()
    assert all(await asyncio.gather(*asked[1:]))
    assert source.reads == 1


async def test_an_unknown_key_is_looked_for_once_a_minute(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    await keys.find("first", "ES256")
    for name in ("a", "b", "../../etc/passwd", "https://evil.test/"):
        assert await keys.find(name, "ES256") is None
    assert source.reads == 1
    clock.at += UNKNOWN_SECONDS
    new = Authority(key_id="second")
    source.document = new.jwks
    assert await keys.find("second", "ES256") is not None
    assert source.reads == 2
    assert keys.held("first", "ES256") is None, "the issuer took it back"


async def test_a_key_of_another_kind_is_unknown(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    assert await keys.find("first", "RS256") is None
    assert await keys.find("first", "ES256") is not None


async def test_keys_are_looked_at_anew_while_requests_go_on(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    await keys.find("first", "ES256")
    clock.at += FRESH_SECONDS + 1
    source.document = key_set(jwk(Authority().key, "other"))
    assert await keys.find("first", "ES256") is not None, "nobody waits for the look"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.reads == 2
    assert keys.held("first", "ES256") is None


async def test_stale_keys_are_believed_for_a_while_and_then_no_more(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    await keys.find("first", "ES256")
    good, source.document = source.document, None
    clock.at += HOUR - 1
    assert await keys.find("first", "ES256") is not None
    await asyncio.sleep(0)
    assert keys.problem is not None
    clock.at += UNKNOWN_SECONDS
    assert await keys.find("first", "ES256") is None
    source.document = good
    assert await keys.find("first", "ES256") is None, "not before a minute has gone by"
    clock.at += UNKNOWN_SECONDS
    assert await keys.find("first", "ES256") is not None
    assert keys.problem is None


async def test_a_set_that_is_none_changes_nothing(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    await keys.find("first", "ES256")
    source.document = b"<html>"
    await keys.refresh()
    assert keys.problem is not None
    assert keys.held("first", "ES256") is not None


async def test_closing_ends_a_look(source: Source, clock: Ticking) -> None:
    keys = IssuerKeys(source.read, clock, stale=HOUR)
    await keys.close()
    source.held = asyncio.Event()
    asked = asyncio.create_task(keys.find("first", "ES256"))
    await asyncio.sleep(0)
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_file_is_read_as_it_is_now(tmp_path: Path, clock: Ticking) -> None:
    path = tmp_path / "keys.json"
    keys = IssuerKeys(from_file(path), clock, stale=HOUR)
    assert await keys.find("first", "ES256") is None
    assert "No such file" in (keys.problem or "")
    path.write_bytes(Authority().jwks)
    clock.at += UNKNOWN_SECONDS
    assert await keys.find("first", "ES256") is not None


async def test_a_url_is_fetched_and_its_status_heeded(clock: Ticking) -> None:
    document, status = Authority().jwks, 200

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"location", b"https://evil.test/keys")] if status == 302 else []
        await respond(send, status, document, headers)

    server, fetch = Server(serve, host="127.0.0.1", port=0), HttpFetch()
    await server.start()
    try:
        keys = IssuerKeys(from_url(f"http://127.0.0.1:{server.port}/keys", fetch), clock, stale=HOUR)
        assert await keys.find("first", "ES256") is not None
        status = 302
        await keys.refresh()
        assert "302" in (keys.problem or "")
        status, document = 200, b" " * (5 * 1024 * 1024)
        await keys.refresh()
        assert "too large" in (keys.problem or "")
        assert keys.held("first", "ES256") is not None
    finally:
        await server.drain(0)
        await fetch.close()
