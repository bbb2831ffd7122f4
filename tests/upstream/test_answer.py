"""An answer on its way back: opened piece by piece, digested as it came, and its connection given back or cut."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import SealError, UpstreamError
from ollm.net.connection import client_tls
from ollm.net.pool import Pool
from ollm.seal import ehbp
from ollm.seal.cipher import AnswerOpener
from ollm.seal.ehbp import RequestOpener, ResponseSealer
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.upstream.answer import Answer, SealedRequest
from tests.net.tls_server import TlsServer, saying, tls_server

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
END = b"0\r\n\r\n"


def chunks(*pieces: bytes, kind: str = "application/json", status: str = "200 OK", extra: str = "") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode() + body


class Sealing(NamedTuple):
    """Both ends of one sealed exchange."""

    opener: AnswerOpener
    sealer: ResponseSealer


@pytest.fixture
def sealing() -> Sealing:
    key = X25519PrivateKey.generate()
    sealed, opener = EhbpCipher(key.public_key().public_bytes_raw()).seal("/", b"{}", streamed=True)
    machine = RequestOpener(key, dict(sealed.headers)[ehbp.ENCAPSULATED_KEY])
    assert machine.feed(sealed.body) == b"{}"
    sealer = machine.response_sealer(os.urandom(32))
    assert opener.begin(200, {ehbp.RESPONSE_NONCE.encode(): sealer.nonce_hex.encode()})
    return Sealing(opener, sealer)


class Asked(NamedTuple):
    server: TlsServer
    pool: Pool
    answer: Answer


@contextlib.asynccontextmanager
async def answered(said: bytes, opener: AnswerOpener | None = None, *, hashed: bool = False, idle: float = 5) -> AsyncIterator[Asked]:
    async with tls_server(saying(said)) as server:
        pool = Pool(server.origin, frozenset((server.spki,)), client_tls(), size=1, connect_timeout=2)
        connection = await pool.acquire()
        response = await connection.exchange(GET, b"", headers_timeout=5)
        yield Asked(server, pool, Answer(pool, connection, response, opener, idle=idle, hashed=hashed))
        pool.close()
        connection.abort("close", "done")


async def pieces_of(answer: Answer) -> list[bytes]:
    found = []
    while piece := await answer.read():
        found.append(piece)
    return found


async def test_an_answer_in_the_clear_is_handed_on_as_it_came() -> None:
    async with answered(chunks(b"one", b"two") + END) as asked:
        assert b"".join(await pieces_of(asked.answer)) == b"onetwo"
        assert (asked.answer.status, asked.answer.streamed, asked.answer.key_refused) == (200, False, False)
    async with answered(chunks(b"one", b"two") + END) as asked:
        assert await asked.answer.read_all() == b"onetwo"


async def test_what_it_says_of_itself() -> None:
    said = chunks(
        kind="text/event-stream; charset=utf-8",
        status="429 Too Many Requests",
        extra="retry-after: 20, please, and not before a quarter past nine\r\nretry-after-ms: 250\r\n",
    )
    async with answered(said + END) as asked:
        assert (asked.answer.status, asked.answer.streamed) == (429, True)
        assert (asked.answer.retry_after, asked.answer.retry_after_ms) == ("20, please, and not before a quarter pas", "250")


@pytest.mark.parametrize(("extra", "compressed"), [("", False), ("content-encoding: Identity\r\n", False), ("content-encoding: gzip\r\n", True)])
async def test_it_says_whether_it_is_compressed(extra: str, compressed: bool) -> None:
    async with answered(chunks(extra=extra) + END) as asked:
        assert asked.answer.compressed is compressed


async def test_a_sealed_answer_is_opened_piece_by_piece(sealing: Sealing) -> None:
    sealed = [sealing.sealer.seal(piece) for piece in (b"one", b"two")]
    async with answered(chunks(sealed[0][:5], sealed[0][5:], sealed[1]) + END, sealing.opener) as asked:
        assert b"".join(await pieces_of(asked.answer)) == b"onetwo"


async def test_a_sealed_answer_is_opened_whole(sealing: Sealing) -> None:
    async with answered(chunks(sealing.sealer.seal(b"one") + sealing.sealer.seal(b"two")) + END, sealing.opener) as asked:
        assert await asked.answer.read_all() == b"onetwo"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_frame_that_was_changed_gives_out_nothing(sealing: Sealing, whole: bool) -> None:
    sealed = bytearray(sealing.sealer.seal(b"one"))
    sealed[-1] ^= 1
    async with answered(chunks(bytes(sealed)) + END, sealing.opener) as asked:
        with pytest.raises(SealError):
            await (asked.answer.read_all() if whole else asked.answer.read())


@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_that_was_cut_is_an_error(sealing: Sealing, whole: bool) -> None:
    sealed = sealing.sealer.seal(b"one")
    async with answered(chunks(sealed[:-1]) + END, sealing.opener) as asked:
        with pytest.raises(SealError) as cut:
            await (asked.answer.read_all() if whole else asked.answer.read())
        assert cut.value.code == "FRAMING_TRUNCATED"


async def test_a_provider_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollm.net.pool._SWEEP_SECONDS", 0.02)
    async with answered(chunks(b"one"), idle=0.1) as asked:
        assert await asked.answer.read() == b"one"
        with pytest.raises(UpstreamError, match="timed out"):
            await asked.answer.read()


@pytest.mark.parametrize("whole", [True, False])
async def test_what_came_is_digested_before_it_is_opened(sealing: Sealing, whole: bool) -> None:
    sealed = [sealing.sealer.seal(piece) for piece in (b"one", b"two")]
    async with answered(chunks(*sealed) + END, sealing.opener, hashed=True) as asked:
        assert asked.answer.wire_hash == "sha256:" + hashlib.sha256().hexdigest()
        await (asked.answer.read_all() if whole else pieces_of(asked.answer))
        assert asked.answer.wire_hash == "sha256:" + hashlib.sha256(b"".join(sealed)).hexdigest()


async def test_where_nobody_signs_nothing_is_digested() -> None:
    async with answered(chunks(b"one") + END) as asked:
        await asked.answer.read_all()
        assert asked.answer.wire_hash is None


async def test_an_answer_that_was_read_gives_its_connection_back() -> None:
    async with answered(chunks(b"one") + END) as asked:
        await asked.answer.read_all()
        for _ in range(2):
            asked.answer.close()
        assert await asked.pool.acquire() is asked.answer.connection


async def test_one_that_was_not_read_to_its_end_cuts_it() -> None:
    async with answered(chunks(b"one")) as asked:
        assert await asked.answer.read() == b"one"
        asked.answer.close()
        assert asked.answer.connection.closed


async def test_an_answer_without_end_is_not_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollm.upstream.answer._MAX_ANSWER", 5)
    async with answered(chunks(b"one", b"two") + END) as asked:
        with pytest.raises(UpstreamError):
            await asked.answer.read_all()


def test_a_request_does_not_show_itself(sealing: Sealing) -> None:
    sealed = SealedRequest(b"head", b"body", sealing.opener, "ehbp")
    plain = SealedRequest(b"head", b"body", None, None)
    assert (sealed.sealed, sealed.cipher, plain.sealed, plain.cipher) == (True, "ehbp", False, None)
    assert repr(sealed) == repr(plain) == "<sealed request>"
