"""An ACI/1 service as a provider: its evidence on one connection, and requests that tell nothing of the client."""

import asyncio
import hashlib

import pytest

import ollm.upstream.aci
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.connection import client_tls
from ollm.seal.ehbp import parse_key_config
from ollm.sim.service import SimEnclave
from ollm.upstream.aci import AciAdapter
from ollm.upstream.registry import ADAPTERS
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from tests.net.tls_server import Script, mute, saying, tls_server, whole
from tests.stage import eventually
from tests.upstream.verifying import settings_of

NONCE = Hex32("ab" * 32)


def adapter(url: str, *, seal: str = "ehbp", api_key: Sealed | None = None) -> AciAdapter:
    return AciAdapter(UpstreamSettings(url=url, policy="p", seal=seal), client_tls(), api_key)


async def test_evidence_and_the_connection_that_brought_it(enclave: SimEnclave) -> None:
    evidence, connection = await adapter(enclave.url).evidence(NONCE)
    assert evidence.nonce == NONCE
    assert evidence.peer_spki_sha256 == enclave.spki_sha256 == connection.peer_spki
    assert evidence.hpke_key_config is not None
    assert parse_key_config(evidence.hpke_key_config) == enclave.identity.hpke_public_key
    assert not connection.closed
    response = await connection.exchange(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"", headers_timeout=5)
    assert response.status == 200
    connection.abort("close", "done")


async def test_without_sealing_no_sealing_key_is_asked_for(enclave: SimEnclave) -> None:
    evidence, connection = await adapter(enclave.url, seal="tls").evidence(NONCE)
    assert evidence.hpke_key_config is None
    connection.abort("close", "done")


REPORT = whole(b"{}", "content-type: application/json\r\n")
KEYS = "content-type: application/ohttp-keys\r\n"


def one_by_one(*answers: bytes) -> Script:
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(left.pop(0))(reader, writer)

    return script


@pytest.mark.parametrize(
    ("answers", "phase", "status"),
    [
        pytest.param([whole(b"", status="404 Not Found")], "headers", 404, id="no report"),
        pytest.param([whole(b"", status="302 Found")], "headers", 302, id="a redirect"),
        pytest.param([whole(b"{}", "connection: close\r\n")], "close", None, id="a connection that ends behind the report"),
        pytest.param([REPORT, whole(b"", status="404 Not Found")], "headers", 404, id="no key configuration"),
        pytest.param([REPORT, whole(b"{}", "content-type: text/html\r\n")], "headers", None, id="another media type"),
        pytest.param([REPORT, whole(b"x", KEYS + "connection: close\r\n")], "close", None, id="a connection that ends behind the keys"),
        pytest.param([whole(b"x" * (4 * 1024 * 1024 + 1))], "stream", None, id="a report without end"),
        pytest.param([b"garbage\r\n\r\n"], "headers", None, id="no HTTP"),
    ],
)
async def test_evidence_that_is_not_had_ends_the_connection(answers: list[bytes], phase: str, status: int | None) -> None:
    async with tls_server(one_by_one(*answers)) as server:
        with pytest.raises(UpstreamError) as failure:
            await adapter(server.origin.text).evidence(NONCE)
        assert (failure.value.phase, failure.value.status) == (phase, status)
        await eventually(lambda: server.left == 1)


async def test_a_service_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.aci, "_TIMEOUT", 0.2)
    async with tls_server(mute) as server:
        with pytest.raises(UpstreamError, match="timed out"):
            await adapter(server.origin.text).evidence(NONCE)


async def test_the_nonce_goes_out_and_nothing_else() -> None:
    async with tls_server(one_by_one(REPORT, whole(b"x", KEYS))) as server:
        evidence, connection = await adapter(server.origin.text, api_key=Sealed(b"sk-secret")).evidence(NONCE)
        connection.abort("close", "done")
        sent = b"".join(server.requests).decode()
        assert [line for line in sent.split("\r\n") if line.startswith("GET ")] == [
            f"GET /v1/aci/attestation?nonce={NONCE} HTTP/1.1",
            "GET /.well-known/hpke-keys HTTP/1.1",
        ]
        assert "sk-secret" not in sent
        assert hashlib.sha256(evidence.report).digest() == hashlib.sha256(b"{}").digest()


def test_the_head_of_a_request(enclave: SimEnclave) -> None:
    plain = adapter("https://a.example:8443").head("/v1/chat/completions", 5, {"ehbp-encapsulated-key": "ab"})
    assert plain.decode().split("\r\n") == [
        "POST /v1/chat/completions HTTP/1.1",
        "host: a.example:8443",
        "user-agent: ollm",
        "accept: application/json, text/event-stream",
        "content-type: application/json",
        "content-length: 5",
        "ehbp-encapsulated-key: ab",
        "",
        "",
    ]
    assert b"authorization: Bearer sk-secret\r\n" in adapter("https://a.example", api_key=Sealed(b"sk-secret")).head("/", 0, {})


def test_the_table_of_providers_makes_adapters(enclave: SimEnclave) -> None:
    made = ADAPTERS["aci"](settings_of(enclave), client_tls(), None)
    assert made.origin.text == enclave.url
