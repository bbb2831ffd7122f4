"""An ACI/1 service as a provider: its evidence on one connection, and requests that tell nothing of the client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import ollm.upstream.asking
from ollm.attest.services.evidence import Bound, Demand, SealingKey
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.connection import Connection, client_tls
from ollm.net.fetch import HttpFetch
from ollm.seal.aci_e2ee import AciCipher
from ollm.seal.ehbp import parse_key_config
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.sim.service import SimEnclave
from ollm.upstream.aci import AciProvider
from ollm.upstream.provider import Gathered, Transcript
from ollm.values.aci import E2EE_ALGOS
from ollm.values.hexes import Hex32, Sha256
from ollm.values.secret import Sealed
from tests.net.tls_server import Script, mute, saying, tls_server, whole
from tests.stage import eventually
from tests.upstream.verifying import CHAT, tools

NONCE = Hex32("ab" * 32)


def provider(url: str, *, seal: str | None = None, api_key: Sealed | None = None) -> AciProvider:
    return AciProvider(UpstreamSettings(url=url, policy="p", seal=seal), api_key, tools(HttpFetch()))


@contextlib.asynccontextmanager
async def gathered(url: str, *, seal: str | None = None, api_key: Sealed | None = None) -> AsyncIterator[tuple[Gathered, Connection]]:
    """What was gathered, and the connection that was kept for prompts."""
    found = await provider(url, seal=seal, api_key=api_key).gather(NONCE)
    assert found.connection is not None
    yield found, found.connection
    found.connection.abort("close", "done")


async def test_evidence_and_the_connection_that_brought_it(enclave: SimEnclave) -> None:
    async with gathered(enclave.url) as (found, connection):
        evidence = found.evidence
        assert (evidence.nonce, evidence.host, evidence.model) == (NONCE, "127.0.0.1", None)
        assert evidence.peer_spki_sha256 == enclave.spki_sha256 == connection.peer_spki
        assert set(evidence.documents) == {"report", "hpke_keys"}
        assert parse_key_config(evidence.documents["hpke_keys"]) == enclave.identity.hpke_public_key
        assert (found.origin.text, found.statements) == (enclave.url, ())
        assert not connection.closed
        response = await connection.exchange(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"", headers_timeout=5)
        assert response.status == 200


async def test_without_sealing_no_sealing_key_is_asked_for(enclave: SimEnclave) -> None:
    async with gathered(enclave.url, seal="tls") as (found, _):
        assert set(found.evidence.documents) == {"report"}


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
            await provider(server.origin.text).gather(NONCE)
        assert (failure.value.phase, failure.value.status) == (phase, status)
        await eventually(lambda: server.left == 1)


async def test_a_service_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.asking, "_TIMEOUT", 0.2)
    async with tls_server(mute) as server:
        with pytest.raises(UpstreamError, match="timed out"):
            await provider(server.origin.text).gather(NONCE)


async def test_the_nonce_goes_out_and_nothing_else() -> None:
    async with (
        tls_server(one_by_one(REPORT, whole(b"x", KEYS))) as server,
        gathered(server.origin.text, api_key=Sealed(b"sk-secret")) as (found, _),
    ):
        sent = b"".join(server.requests).decode()
        assert [line for line in sent.split("\r\n") if line.startswith("GET ")] == [
            f"GET /v1/aci/attestation?nonce={NONCE} HTTP/1.1",
            "GET /.well-known/hpke-keys HTTP/1.1",
        ]
        assert "sk-secret" not in sent
        assert found.evidence.documents == {"report": b"{}", "hpke_keys": b"x"}


def test_the_head_of_a_request() -> None:
    plain = provider("https://a.example:8443").head(CHAT, 5, "application/json", {"ehbp-encapsulated-key": "ab"})
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
    with_key = provider("https://a.example", api_key=Sealed(b"sk-secret"))
    assert b"authorization: Bearer sk-secret\r\n" in with_key.head("/", 0, "application/json", {})
    assert with_key.path(CHAT) == CHAT


@pytest.mark.parametrize(
    ("seal", "demand", "stale"),
    [
        (None, {"seal": True}, (422, None)),
        ("ehbp", {"seal": True}, (422, None)),
        ("tls", {"seal": False}, (422, None)),
        ("aci-e2ee-v2", {"seal": True, "cipher": "aci-e2ee-v2"}, (400, b'"e2ee_model_key_mismatch"')),
    ],
)
def test_what_it_demands_of_evidence(seal: str | None, demand: dict[str, Any], stale: tuple[int, bytes | None]) -> None:
    made = provider("https://a.example", seal=seal)
    assert made.demand == Demand(shapes=("aci",), channel=True, **demand)
    assert made.tls.check_hostname is client_tls().check_hostname is False, "evidence judges the key, and no CA"
    assert (set(made.stale_key_status), made.stale_key_words) == ({stale[0]}, stale[1])


async def test_bodies_are_sealed_to_the_attested_key_where_there_is_one() -> None:
    key = SealingKey(cipher="ehbp", algorithm="x25519", public_key=bytes(range(32)), custody="instance")
    made = provider("https://a.example")
    assert isinstance(await made.cipher(Bound(spkis=(), sealing=(key,))), EhbpCipher)
    assert await made.cipher(Bound(spkis=())) is None


async def test_fields_are_sealed_to_the_attested_key_of_acis_own_encryption() -> None:
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    key = SealingKey(cipher="aci-e2ee-v2", algorithm=E2EE_ALGOS[0], public_key=public, custody="app_kms")
    cipher = await provider("https://a.example", seal="aci-e2ee-v2").cipher(Bound(spkis=(), sealing=(key,)))
    assert isinstance(cipher, AciCipher)
    sealed, _ = cipher.seal(CHAT, b'{"model":"m","messages":[{"role":"user","content":"hi"}],"user":"u"}', streamed=False)
    headers = dict(sealed.headers)
    assert headers["X-Model-Pub-Key"] == public.hex()
    assert abs(int(headers["X-E2EE-Timestamp"]) - SystemClock().now()) < 5
    assert b'"user":"u"' in sealed.body, "the attested channel protects what this encryption leaves in the clear"


async def test_where_fields_are_sealed_no_key_configuration_is_asked_for(enclave: SimEnclave) -> None:
    async with gathered(enclave.url, seal="aci-e2ee-v2") as (found, _):
        assert set(found.evidence.documents) == {"report"}


async def test_no_signature_is_asked_for(enclave: SimEnclave) -> None:
    async with gathered(enclave.url) as (_, connection):
        before = enclave.counters.reports
        said = Transcript("chatcmpl-1", Sha256("sha256:" + "0" * 64), Sha256("sha256:" + "1" * 64))
        assert await provider(enclave.url).vouch(connection, Bound(spkis=()), said) is None
        assert enclave.counters.reports == before
