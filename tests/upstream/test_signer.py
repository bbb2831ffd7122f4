"""Asking a machine for its signature: where there is nobody to ask, or nothing to ask by, there is none."""

import pytest

from ollm.attest.services.evidence import AnswerSigner, Bound
from ollm.errors import UpstreamError
from ollm.net.connection import client_tls, open_connection
from ollm.testing.providers.near import CHAT_ID, NearServer, Signing
from ollm.upstream import signer
from ollm.upstream.asking import Heads
from ollm.upstream.provider import Transcript
from ollm.values.hexes import sha256_of

SIGNED = Bound(spkis=(), signer=AnswerSigner("ed25519", "00" * 32))
HASH = sha256_of(b"")


async def asked(server: NearServer, bound: Bound = SIGNED, chat_id: str = CHAT_ID, *, idle: bool = False) -> object:
    heads = Heads(server.url, None)
    connection = await open_connection(heads.origin, client_tls(), timeout=5, pinned=None)
    try:
        if not idle:  # an answer that was read to its end
            response = await connection.exchange(heads.get("/v1/attestation/report?nonce=" + "00" * 32), b"", headers_timeout=5)
            await response.read_all(1 << 22, 5)
        return await signer.signature(heads, connection, bound, Transcript(chat_id, HASH, HASH), None, "signing_algo=ed25519")
    finally:
        connection.abort("close", "test")


async def test_a_service_that_binds_no_key_signs_nothing() -> None:
    async with NearServer() as server:
        assert await asked(server, Bound(spkis=())) is None
        assert server.signatures_asked == 0


@pytest.mark.parametrize("chat_id", ["", "a/b", "a?b", "a b", "x" * 129, "é"])
async def test_an_id_that_is_none_is_not_asked_by(chat_id: str) -> None:
    async with NearServer() as server:
        with pytest.raises(UpstreamError, match="no id"):
            await asked(server, chat_id=chat_id)
        assert server.signatures_asked == 0


async def test_it_is_asked_a_few_times_and_then_there_is_none() -> None:
    async with NearServer() as server:
        with pytest.raises(UpstreamError, match="no signature") as problem:
            await asked(server)
        assert (problem.value.status, server.signatures_asked) == (404, 4)


async def test_another_status_ends_it_at_once() -> None:
    async with NearServer() as server:
        server.signing = Signing.REFUSED
        with pytest.raises(UpstreamError, match="answered 500"):
            await asked(server)
        assert server.signatures_asked == 1


async def test_without_the_connection_that_was_answered_on_there_is_nobody_to_ask() -> None:
    async with NearServer() as server:
        with pytest.raises(UpstreamError, match="is gone"):
            await asked(server, idle=True)
