"""A third party's view: a gateway, its receipts and its sessions, judged under the caller's own policy; and liars."""

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
import pytest

from ollm.app.build import endorser_of
from ollm.app.demo import MODEL, stage
from ollm.app.demo import Stage as Play
from ollm.client.verify import GatewayVerdict, appraise_session, check_receipt, keyset_of_report, session_id_of, verify_gateway
from ollm.config.load import Loaded
from ollm.config.settings import CollateralSettings
from ollm.errors import UpstreamError, WireError
from ollm.net.clock import SystemClock
from ollm.net.connection import client_tls
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetched
from ollm.sim.identity import create_tls
from ollm.values.aci import Keyset
from ollm.values.checks import Outcome
from ollm.values.hexes import Hex32, Sha256, hex32, sha256_of
from ollm.values.jcs import canonical
from ollm.values.level import Level
from tests.stage import staged
from tests.standing import standing

CLOCK = SystemClock()


class Exchange(NamedTuple):
    """A chat as its client kept it, with its receipt and the session that the receipt cites."""

    request: bytes
    response: bytes
    receipt: bytes
    session_id: Hex32
    session: bytes


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(stage(folder)) as play:
            yield play
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def exchange(play: Play) -> Exchange:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
    with httpx2.Client(base_url=play.url, headers={"authorization": f"Bearer {play.api_key}"}, timeout=30) as http:
        answer = http.post("/v1/chat/completions", content=body)
        receipt = http.get(f"/v1/aci/receipts/{answer.headers['x-receipt-id']}").content
        (cited,) = [event["session_id"] for event in json.loads(receipt)["event_log"] if "session_id" in event]
        return Exchange(body, answer.content, receipt, hex32(cited), http.get(f"/v1/aci/sessions/{cited}").content)


@pytest.fixture(scope="module")
def established(play: Play) -> tuple[Keyset, Sha256]:
    """The keyset that the gateway's own evidence proves."""
    verdict = asyncio.run(judged(play.loaded, play.url))
    assert verdict.keyset is not None
    assert verdict.keyset_digest is not None
    return verdict.keyset, verdict.keyset_digest


async def judged(loaded: Loaded, url: str, *, policy: str = "gateway", through: type[HttpFetch] = HttpFetch) -> GatewayVerdict:
    fetch = through()
    try:
        return await verify_gateway(fetch, endorser_of(loaded, policy, fetch, CLOCK), CLOCK, url, loaded.settings.policies[policy])
    finally:
        await fetch.close()


def refusal(verdict: GatewayVerdict) -> str:
    """The check that refused, when nothing was established."""
    assert not verdict.appraisal.accepted
    assert (verdict.keyset, verdict.keyset_digest, verdict.config_digest) == (None, None, None)
    assert verdict.appraisal.failure is not None
    return verdict.appraisal.failure.name


# A gateway


async def test_a_gateway_proves_its_software_its_keys_and_its_configuration(play: Play) -> None:
    verdict = await judged(play.loaded, play.url)
    assert verdict.appraisal.accepted
    assert verdict.appraisal.level is Level.SIMULATED
    assert verdict.keyset_digest == play.gateway.keyset_digest
    assert verdict.config_digest == play.loaded.digest
    assert verdict.keyset is not None
    assert verdict.keyset.receipt_signing_keys[0].public_key == play.gateway.signer.public_key.hex()
    assert "channel.spki" not in {check.name for check in verdict.appraisal.checks}, "plain HTTP establishes no channel"


async def test_under_another_policy_it_is_refused(play: Play) -> None:
    assert refusal(await judged(play.loaded, play.url, policy="enclave")) == "compose.accepted"


class Garbling(HttpFetch):
    """A way to the gateway on which the report is replaced."""

    async def get(self, url: str, *, authorization: str | None = None) -> Fetched:
        answer = await super().get(url, authorization=authorization)
        return msgspec.structs.replace(answer, body=b"no report") if "attestation?" in url else answer


class Replaying(HttpFetch):
    """A way to the gateway on which every nonce is replaced by an older one."""

    async def get(self, url: str, *, authorization: str | None = None) -> Fetched:
        head, mark, nonce = url.partition("attestation?nonce=")
        return await super().get(head + mark + "0" * len(nonce), authorization=authorization)


class WithoutEndorser(HttpFetch):
    """A network on which the collateral service is not reached."""

    async def get(self, url: str, *, authorization: str | None = None) -> Fetched:
        if "/certification/" in url:
            raise UpstreamError("connect", "timed out")
        return await super().get(url, authorization=authorization)


@pytest.mark.parametrize(("through", "check"), [(Garbling, "report.format"), (Replaying, "binding.report_data"), (WithoutEndorser, "evidence.fetch")])
async def test_a_report_that_proves_nothing_is_refused(play: Play, through: type[HttpFetch], check: str) -> None:
    settings = msgspec.structs.replace(play.loaded.settings, collateral=CollateralSettings(directory=""))  # not what the gateway keeps
    assert refusal(await judged(msgspec.structs.replace(play.loaded, settings=settings), play.url, through=through)) == check


async def test_a_gateway_that_can_not_be_asked_is_no_verdict(play: Play) -> None:
    with pytest.raises(UpstreamError, match="connect"):
        await judged(play.loaded, "http://127.0.0.1:1")
    with pytest.raises(UpstreamError, match="connect"):
        await judged(play.loaded, "https://127.0.0.1:1")
    with pytest.raises(UpstreamError) as problem:
        await judged(play.loaded, play.url + "/elsewhere")
    assert problem.value.status == 404


# A gateway behind TLS: the channel is checked too


def tls_files(folder: Path) -> dict[str, str]:
    _, identity = create_tls(CLOCK.now())
    (folder / "cert.pem").write_bytes(identity.certificate)
    (folder / "key.pem").write_bytes(identity.key.expose())
    return {"tls_certificate": "cert.pem", "tls_key": "key.pem"}


@contextlib.asynccontextmanager
async def middlebox(port: int) -> AsyncIterator[str]:
    """Someone between client and gateway, with a certificate of his own and everything passed on."""
    _, own = create_tls(CLOCK.now())

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_tls())
        while data := await reader.read(65536):
            there_writer.write(data)
            writer.write(await there_reader.read(1 << 20))
        there_writer.close()
        writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=own.context())
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_over_tls_the_channel_ends_at_an_attested_key(socket_dir: Path) -> None:
    async with staged(socket_dir, attested=True, gateway=tls_files(socket_dir)) as behind_tls:
        verdict = await judged(behind_tls.loaded, f"https://127.0.0.1:{behind_tls.server.port}")
        assert verdict.appraisal.accepted
        (channel,) = [check for check in verdict.appraisal.checks if check.name == "channel.spki"]
        assert channel.outcome is Outcome.PASSED

        async with middlebox(behind_tls.server.port) as url:
            assert refusal(await judged(behind_tls.loaded, url)) == "channel.spki"


# A receipt


def test_a_receipt_holds_with_its_bodies_and_its_session(exchange: Exchange, established: tuple[Keyset, Sha256]) -> None:
    sessions = {exchange.session_id: exchange.session}
    receipt, checks = check_receipt(exchange.receipt, *established, request=exchange.request, response=exchange.response, sessions=sessions)
    assert receipt is not None
    assert receipt["receipt_id"].startswith("rcpt_")
    assert [(check.name, check.outcome) for check in checks] == [
        ("receipt.signature", Outcome.PASSED),
        ("receipt.bodies", Outcome.PASSED),
        ("receipt.session", Outcome.PASSED),
    ]


def test_what_is_not_given_is_not_claimed_as_checked(exchange: Exchange, established: tuple[Keyset, Sha256]) -> None:
    receipt, checks = check_receipt(exchange.receipt, *established, request=None, response=None, sessions={})
    assert receipt is not None
    assert [check.name for check in checks] == ["receipt.signature"]


REFUSED_RECEIPTS: dict[str, Callable[[Exchange], dict[str, Any]]] = {
    "receipt.format": lambda kept: {"document": kept.receipt[:-1]},
    "receipt.version": lambda kept: {"document": kept.receipt.replace(b'"aci/1"', b'"aci/2"', 1)},
    "receipt.signature": lambda kept: {"document": changed_once(kept.receipt, b'"method":"POST"', b'"method":"PUT"')},
    "receipt.bodies": lambda kept: {"request": kept.request + b" "},
    "receipt.session": lambda kept: {"sessions": dict([made_up(kept.session, lambda session: session | {"upstream_name": "other"})])},
    "session.id": lambda kept: {"sessions": {kept.session_id: changed_once(kept.session, b'"ollm/1"', b'"ollm/2"')}},
}


@pytest.mark.parametrize("check", REFUSED_RECEIPTS)
def test_a_receipt_that_was_touched_is_refused(exchange: Exchange, established: tuple[Keyset, Sha256], check: str) -> None:
    given: dict[str, Any] = {"document": exchange.receipt, "request": exchange.request, "response": exchange.response, "sessions": {}}
    given |= REFUSED_RECEIPTS[check](exchange)
    receipt, checks = check_receipt(given.pop("document"), *established, **given)
    assert receipt is None
    assert (checks[-1].name, checks[-1].outcome) == (check, Outcome.FAILED)


def test_another_answer_than_the_one_received_is_refused(exchange: Exchange, established: tuple[Keyset, Sha256]) -> None:
    receipt, checks = check_receipt(exchange.receipt, *established, request=None, response=exchange.response[:-1], sessions={})
    assert receipt is None
    assert checks[-1].name == "receipt.bodies"
    assert "response.returned" in checks[-1].got


def test_a_receipt_of_another_gateway_is_refused(exchange: Exchange, established: tuple[Keyset, Sha256]) -> None:
    keyset = msgspec.structs.replace(established[0], not_after=established[0].not_after + 1)
    receipt, checks = check_receipt(exchange.receipt, keyset, keyset.digest(), request=None, response=None, sessions={})
    assert receipt is None
    assert [check.name for check in checks] == ["receipt.keyset"]


# A session


def changed_once(document: bytes, old: bytes, new: bytes) -> bytes:
    assert document.count(old) == 1
    return document.replace(old, new)


def made_up(document: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[Hex32, bytes]:
    """A session as a lying gateway would make it: changed, and with the id that it then has."""
    forged = canonical(change(json.loads(document)))
    return session_id_of(forged), forged


def with_evidence(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change what is in the evidence of a session, digest included."""

    def changed(session: dict[str, Any]) -> dict[str, Any]:
        head, _, body = session["evidence"]["data"].partition(",")
        bundle = json.loads(base64.b64decode(body))
        change(bundle)
        data = canonical(bundle)
        return session | {"evidence": {"digest": sha256_of(data), "data": f"{head},{base64.b64encode(data).decode()}"}}

    return changed


def edited_report(bundle: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    documents = bundle["evidence"]["documents"]
    report = json.loads(base64.b64decode(documents["report"]))
    change(report)
    documents["report"] = base64.b64encode(json.dumps(report).encode()).decode()


def without_sealing_key(bundle: dict[str, Any]) -> None:
    """Evidence of a route that doesn't seal."""
    del bundle["evidence"]["documents"]["hpke_keys"]
    bundle["demand"]["seal"] = False


def test_a_sessions_evidence_is_judged_again(play: Play, exchange: Exchange) -> None:
    session, appraisal, bound = appraise_session(exchange.session_id, exchange.session, play.loaded.settings.policies["enclave"])
    assert appraisal.accepted
    assert session["upstream_name"] == "enclave"
    assert bound is not None
    assert bound.spkis == (play.enclave.spki_sha256,)
    assert {"channel.spki", "channel.hpke_key"} <= {check.name for check in appraisal.checks}
    assert appraisal.claims.document() == session["claims"]


def test_under_another_policy_a_session_is_refused(play: Play, exchange: Exchange) -> None:
    _, appraisal, bound = appraise_session(exchange.session_id, exchange.session, play.loaded.settings.policies["gateway"])
    assert not appraisal.accepted
    assert bound is None


TAMPERED_EVIDENCE: dict[str, Callable[[dict[str, Any]], None]] = {
    "binding.report_data": lambda bundle: bundle["evidence"].update(nonce="0" * 64),
    "channel.spki": lambda bundle: bundle["evidence"].update(peer_spki_sha256="0" * 64),
    "channel.hpke_key": lambda bundle: bundle["evidence"]["documents"].update(hpke_keys=base64.b64encode(b"no key").decode()),
    "collateral.format": lambda bundle: bundle["collateral"][0]["cpu"].update(tcb_info="{}"),
    "machine.collateral": lambda bundle: bundle.update(collateral=[]),
    "report.format": lambda bundle: bundle["evidence"]["documents"].update(report=""),
    "report.shape": lambda bundle: bundle["demand"].update(shapes=["dstack", "chutes"]),
    "keyset.digest": lambda bundle: edited_report(bundle, lambda report: report["attestation"]["workload_keyset"].update(subject="other")),
}


@pytest.mark.parametrize("check", TAMPERED_EVIDENCE)
def test_tampered_evidence_is_refused_though_the_id_fits(play: Play, exchange: Exchange, check: str) -> None:
    forged = made_up(exchange.session, with_evidence(TAMPERED_EVIDENCE[check]))
    _, appraisal, bound = appraise_session(*forged, play.loaded.settings.policies["enclave"])
    assert bound is None
    assert appraisal.failure is not None
    assert appraisal.failure.name == check


def with_binding(number: int, **members: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(session: dict[str, Any]) -> dict[str, Any]:
        session["channel_binding"][number] |= members
        return session

    return changed


LIES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "another time": (with_evidence(lambda bundle: bundle.update(appraised_at=bundle["appraised_at"] - 1)), "session.evidence"),
    "another keyset": (lambda session: session | {"identity": session["identity"] | {"keyset_digest": "sha256:" + "0" * 64}}, "session.identity"),
    "no identity": (lambda session: {name: value for name, value in session.items() if name != "identity"}, "session.identity"),
    "another TLS key": (with_binding(0, spki_sha256="0" * 64), "session.channel_binding"),
    "another sealing key": (with_binding(1, public_key_sha256="0" * 64), "session.channel_binding"),
    "another kind of key": (with_binding(1, type="psk"), "session.channel_binding"),
    "a sealing key without its proof": (with_evidence(without_sealing_key), "session.channel_binding"),
    "a TLS key without its proof": (with_evidence(lambda bundle: bundle["demand"].update(channel=False)), "session.channel_binding"),
    "another holder of the key": (lambda session: session | {"identity": session["identity"] | {"key_custody": "app_kms"}}, "session.identity"),
}


@pytest.mark.parametrize("lie", LIES)
def test_genuine_evidence_does_not_carry_a_session_that_says_something_else(play: Play, exchange: Exchange, lie: str) -> None:
    change, reason = LIES[lie]
    with pytest.raises(WireError, match=reason):
        appraise_session(*made_up(exchange.session, change), play.loaded.settings.policies["enclave"])


def test_a_session_under_another_id_and_evidence_of_another_kind(play: Play, exchange: Exchange) -> None:
    policy = play.loaded.settings.policies["enclave"]
    with pytest.raises(WireError, match=r"session\.id"):
        appraise_session(hex32("0" * 64), exchange.session, policy)
    other = {"digest": sha256_of(b"{}"), "data": "data:application/json;base64," + base64.b64encode(b"{}").decode()}
    with pytest.raises(WireError, match="not an evidence bundle"):
        appraise_session(*made_up(exchange.session, lambda session: session | {"evidence": other}), policy)


def test_a_sessions_id_comes_from_its_content(exchange: Exchange) -> None:
    assert session_id_of(exchange.session) == exchange.session_id
    assert session_id_of(json.dumps(json.loads(exchange.session), indent=1).encode()) == exchange.session_id
    for nonsense in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(WireError):
            session_id_of(nonsense)


# A keyset from a file


def test_the_keyset_of_a_report_and_of_a_keyset_file_are_the_same(play: Play, established: tuple[Keyset, Sha256]) -> None:
    report = httpx2.get(f"{play.url}/v1/aci/attestation").content
    assert keyset_of_report(report) == established
    assert keyset_of_report((play.loaded.path("state") / "keyset.json").read_bytes()) == established


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b'"attestation"', b"{}", b'{"attestation":{}}', b'{"attestation":3}', b"[" * 100_000])
def test_a_file_without_a_keyset_is_said_so(data: bytes) -> None:
    with pytest.raises(WireError, match="keyset"):
        keyset_of_report(data)
