"""A recorder in front of a provider's connection, and a recording in its place."""

import ssl
from pathlib import Path

import pytest

from ollm.errors import UpstreamError
from ollm.net.connection import client_tls
from ollm.net.tape import Manifest, Recorder, Tape, exchange_of, open_tape
from ollm.sim.service import SimEnclave
from ollm.upstream.asking import Heads
from ollm.upstream.taped import recording, replaying

NONCE = "cd" * 32
REPORT = f"/v1/aci/attestation?nonce={NONCE}"
MANIFEST = Manifest(provider="aci", nonce_hex=NONCE, captured_at="2026-11-24T08:00:00Z")
ORIGIN = "https://provider.example"
NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def tape_of(folder: Path, recorder: Recorder) -> Tape:
    recorder.save(folder / "tape", MANIFEST)
    return open_tape(folder / "tape")


async def test_all_that_an_asker_does_is_kept_and_repeated(tmp_path: Path, enclave: SimEnclave) -> None:
    recorder, heads = Recorder(), Heads(enclave.url, None)
    async with recording(recorder)(heads, client_tls()) as live:
        told = await live.get(REPORT, limit=1 << 22)
        with pytest.raises(UpstreamError) as refused:
            await live.post("/v1/nothing", b"{}", limit=10)
        spki = live.peer_spki
    async with replaying(tape_of(tmp_path, recorder))(heads, NOTHING) as again:
        assert again.peer_spki == spki  # known before anything is asked
        assert await again.get(REPORT, limit=1 << 22, credential=True) == told
        with pytest.raises(UpstreamError) as repeated:
            await again.post("/v1/nothing", b"{}", limit=10)
        assert str(repeated.value) == str(refused.value)
        assert repeated.value.status == refused.value.status == 404
        assert again.keep() is None


async def test_a_kept_connection_stays_open(enclave: SimEnclave) -> None:
    async with recording(Recorder())(Heads(enclave.url, None), client_tls()) as live:
        connection = live.keep()
    assert connection is not None
    assert not connection.closed
    connection.abort("close", "test")


async def test_a_failed_connection_leaves_nothing(enclave: SimEnclave, tmp_path: Path) -> None:
    recorder = Recorder()
    async with recording(recorder)(Heads(enclave.url, None), client_tls()) as live:
        with pytest.raises(UpstreamError, match="too large"):
            await live.get(REPORT, limit=1)
    with pytest.raises(UpstreamError, match="no answer"):
        tape_of(tmp_path, recorder).answer("GET", enclave.url + REPORT)


async def test_what_was_drawn_is_told_as_it_was_recorded(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.keep(exchange_of("POST", f"{ORIGIN}/agree", 200, {}, sent=b'{"key":1}', peer_key=b"key"), b"signed")
    async with replaying(tape_of(tmp_path, recorder))(Heads(ORIGIN, None), NOTHING) as again:
        told = await again.post("/agree", b'{"key":2}', limit=10, drawn=True)
        assert (told.sent, told.body) == (b'{"key":1}', b"signed")
        with pytest.raises(UpstreamError, match="no answer"):
            await again.post("/agree", b'{"key":2}', limit=10)


async def test_limits_hold_for_recordings(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.keep(exchange_of("GET", f"{ORIGIN}/a", 200, {}, peer_key=b"key"), b"12")
    async with replaying(tape_of(tmp_path, recorder))(Heads(ORIGIN, None), NOTHING) as again:
        assert (await again.get("/a", limit=2)).body == b"12"
        with pytest.raises(UpstreamError, match="too large"):
            await again.get("/a", limit=1)


async def test_a_key_that_was_not_recorded_is_not_known(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.keep(exchange_of("GET", f"{ORIGIN}/a", 200, {}), b"")
    async with replaying(tape_of(tmp_path, recorder))(Heads(ORIGIN, None), NOTHING) as again:
        await again.get("/a", limit=2)
        assert again.peer_spki is None


async def test_one_connection_has_one_key(tmp_path: Path) -> None:
    recorder = Recorder()
    for path, key in (("/a", b"one"), ("/b", b"other"), ("/c", b"")):
        recorder.keep(exchange_of("GET", ORIGIN + path, 200, {}, peer_key=key), b"")
    tape = tape_of(tmp_path, recorder)
    for other in ("/b", "/c"):
        async with replaying(tape)(Heads(ORIGIN, None), NOTHING) as again:
            await again.get("/a", limit=2)
            with pytest.raises(UpstreamError, match="different keys"):
                await again.get(other, limit=2)
    async with replaying(tape)(Heads(ORIGIN, None), NOTHING) as again:  # a second connection may have reached another machine
        await again.get("/b", limit=2)
        assert again.peer_spki is not None
