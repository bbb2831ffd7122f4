"""A verification recorded and repeated: the same checks and claims; one byte changed: refused."""

import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ollm.app.initialise import initialise
from ollm.app.recording import record, replay
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError
from ollm.net.tape import open_tape
from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.mint.signer import MODEL, ecdsa
from ollm.testing.providers.chutes import CHUTE, ChutesServer
from ollm.testing.providers.near import NearServer
from ollm.testing.providers.privatemode import PrivatemodeServer
from ollm.testing.providers.tinfoil import TinfoilServer
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from tests.stage import configuration, toml


@pytest.fixture
async def enclave() -> AsyncIterator[SimEnclave]:
    async with SimEnclave(SimOptions()) as running:
        yield running


def installed(folder: Path, machine: SimEnclave, **upstream: Any) -> Loaded:
    return load(initialise(folder, toml(configuration({"enclave": machine}, upstream=upstream))))


async def recorded(folder: Path, machine: SimEnclave, **upstream: Any) -> tuple[Loaded, Path, Appraisal]:
    loaded, tape = installed(folder, machine, **upstream), folder / "tape"
    return loaded, tape, (await record(loaded, "enclave", tape)).appraisal


async def replayed(loaded: Loaded, tape: Path, **more: Any) -> Appraisal:
    return (await replay(loaded, "enclave", open_tape(tape), **more)).appraisal


async def test_the_same_appraisal_without_a_network(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        loaded, tape, first = await recorded(tmp_path, enclave)
    assert first.accepted
    assert await replayed(loaded, tape) == first  # the enclave is gone
    assert not (tmp_path / "state").exists() or not list((tmp_path / "state").glob("**/*.json"))


async def test_a_refusal_is_repeated_too(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions(broken="debug-bit")) as broken:
        loaded, tape, first = await recorded(tmp_path, broken)
    assert first.failure is not None
    assert first.failure.name == "quote.debug"
    assert await replayed(loaded, tape) == first


async def test_what_is_recorded(tmp_path: Path, enclave: SimEnclave) -> None:
    _, tape, _ = await recorded(tmp_path, enclave)
    manifest = json.loads((tape / "manifest.json").read_text())
    assert manifest["provider"] == "aci"
    report = json.loads(next((tape / "responses").glob("0001_*.json")).read_text())
    assert report["url"] == f"{enclave.url}/v1/aci/attestation?nonce={manifest['nonce_hex']}"
    assert report["tls_version"] == "TLSv1.3"
    assert len(base64.b64decode(report["peer_spki_der_base64"])) > 64
    asked = {json.loads(file.read_text())["url"].partition("?")[0].rpartition("/")[2] for file in (tape / "responses").glob("*.json")}
    assert {"attestation", "hpke-keys", "tcb", "identity", "pckcrl", "IntelSGXRootCA.der"} <= asked


async def test_a_key_is_sent_and_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "sk-unmistakable")
    async with SimEnclave(SimOptions(api_key="sk-unmistakable")) as enclave:
        loaded, tape, first = await recorded(tmp_path, enclave, api_key="env:PROVIDER_KEY")
    assert all(b"sk-unmistakable" not in file.read_bytes() for file in tape.rglob("*") if file.is_file())
    monkeypatch.delenv("PROVIDER_KEY")
    assert await replayed(loaded, tape) == first  # who repeats it needs no key


def flipped(data: bytes) -> bytes:
    """`data`, a report, with one bit of its quote's body changed."""
    document = json.loads(data)
    quote = document["attestation"]["evidence"]["quote"]
    at = 2 * 400
    document["attestation"]["evidence"]["quote"] = quote[:at] + format(int(quote[at], 16) ^ 1, "x") + quote[at + 1 :]
    return json.dumps(document).encode()


def other_key(data: bytes) -> bytes:
    """A key configuration with another key."""
    return data[:8] + bytes([data[8] ^ 1]) + data[9:]


@pytest.mark.parametrize(
    ("part", "change", "check"),
    [("attestation", flipped, "quote."), ("hpke-keys", other_key, "channel."), ("tcb", lambda data: data.replace(b"UpToDate", b"Uptodate", 1), "")],
    ids=["quote", "sealing key", "collateral"],
)
async def test_one_byte_changed_is_refused(tmp_path: Path, enclave: SimEnclave, part: str, change: Callable[[bytes], bytes], check: str) -> None:
    loaded, tape, _ = await recorded(tmp_path, enclave)
    (body,) = (file for file in (tape / "responses").glob("*.body") if file.stem.endswith(part))
    before = body.read_bytes()
    body.write_bytes(change(before))
    assert body.read_bytes() != before
    failure = (await replayed(loaded, tape)).failure
    assert failure is not None
    assert failure.name.startswith(check)


async def test_another_key_of_the_peer_is_refused_and_none_as_well(tmp_path: Path, enclave: SimEnclave) -> None:
    loaded, tape, _ = await recorded(tmp_path, enclave)
    for key in (base64.b64encode(b"another key").decode(), None):
        changed = tmp_path / f"changed-{key}"
        shutil.copytree(tape, changed)
        for file in (changed / "responses").glob("*.json"):
            document = json.loads(file.read_text())
            if "peer_spki_der_base64" in document:
                file.write_text(json.dumps({**document, "peer_spki_der_base64": key}))
        failure = (await replayed(loaded, changed)).failure
        assert failure is not None
        assert failure.name == "channel.spki"


async def test_answers_of_two_keys_are_not_of_one_connection(tmp_path: Path, enclave: SimEnclave) -> None:
    loaded, tape, _ = await recorded(tmp_path, enclave)
    file = next((tape / "responses").glob("*hpke-keys.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "peer_spki_der_base64": "AAAA"}))
    failure = (await replayed(loaded, tape)).failure
    assert failure is not None
    assert "different keys" in failure.got


async def test_another_nonce_and_a_later_time_are_refused(tmp_path: Path, enclave: SimEnclave) -> None:
    loaded, tape, _ = await recorded(tmp_path, enclave)
    other = await replayed(loaded, tape, nonce=Hex32("00" * 32))
    assert other.failure is not None
    assert f"no answer to GET {enclave.url}/v1/aci/attestation?nonce=0000" in other.failure.got
    late = await replayed(loaded, tape, at=open_tape(tape).manifest.moment + 400 * 86_400)
    assert not late.accepted


async def test_an_error_of_the_provider_is_recorded_and_repeated(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions(broken="no-evidence")) as enclave:
        loaded, tape, first = await recorded(tmp_path, enclave)
    assert first.failure is not None
    assert (first.failure.name, first.failure.got) == ("evidence.fetch", "headers: the attestation endpoint answered 404")
    assert await replayed(loaded, tape) == first


async def test_nobody_there_leaves_a_recording_that_says_nothing(tmp_path: Path, enclave: SimEnclave) -> None:
    loaded = installed(tmp_path, enclave)
    await enclave.stop()
    first = (await record(loaded, "enclave", tmp_path / "tape")).appraisal
    again = await replayed(loaded, tmp_path / "tape")
    assert [appraisal.failure.name for appraisal in (first, again) if appraisal.failure] == ["evidence.fetch", "evidence.fetch"]


async def test_a_folder_that_is_used_is_refused_before_anything_is_asked(tmp_path: Path, enclave: SimEnclave) -> None:
    loaded = installed(tmp_path, enclave)
    with pytest.raises(ConfigError, match="not empty"):
        await record(loaded, "enclave", tmp_path)
    assert enclave.counters.reports == 0


@pytest.mark.parametrize("form", ["v2", "june", "v3"])
async def test_tinfoil_recorded_and_repeated(tmp_path: Path, form: Any) -> None:
    async with TinfoilServer(form=form) as server:
        loaded = load(initialise(tmp_path, toml(configuration({"enclave": server}, upstream={"adapter": "tinfoil"}))))
        first = (await record(loaded, "enclave", tmp_path / "tape")).appraisal
    assert first.accepted, first.failure
    assert await replayed(loaded, tmp_path / "tape") == first


async def test_chutes_recorded_and_repeated(tmp_path: Path) -> None:
    """The key of its API is nobody's to attest; all that sealing rests on is in the recording."""
    async with ChutesServer() as server:
        upstream = {"adapter": "chutes", "model": CHUTE, "ca": server.ca}
        loaded = load(initialise(tmp_path, toml(configuration({"enclave": server}, upstream=upstream))))
        first = (await record(loaded, "enclave", tmp_path / "tape")).appraisal
    assert first.accepted, first.failure
    assert await replayed(loaded, tmp_path / "tape") == first


@pytest.mark.parametrize("platform", ["tdx", "sev-snp"])
async def test_privatemode_recorded_and_repeated(tmp_path: Path, platform: Any) -> None:
    """Its agreement on a secret is drawn anew each time; a replay judges the one that was recorded."""
    async with PrivatemodeServer(platform=platform) as server:
        tree = configuration({"enclave": server}, upstream={"adapter": "privatemode", "ca": server.ca})
        if platform == "sev-snp":
            del tree["upstreams"]["enclave"]["pcs_url"], tree["upstreams"]["enclave"]["root_crl_url"]
        loaded = load(initialise(tmp_path, toml({**tree, "collateral": {"kds_url": server.kds_url}})))
        first = (await record(loaded, "enclave", tmp_path / "tape")).appraisal
        assert len(server.service.secrets) == 1
    assert first.failure is None
    assert await replayed(loaded, tmp_path / "tape") == first
    (answered,) = (tmp_path / "tape" / "responses").glob("*secret.body")
    said = json.loads(answered.read_bytes())
    answered.write_text(json.dumps({**said, "Signature": said["Signature"][:-8] + "AAAAAAA="}))
    changed = await replayed(loaded, tmp_path / "tape")
    assert changed.failure is not None and changed.failure.name == "privatemode.secret"


def near(folder: Path, server: NearServer, **upstream: Any) -> Loaded:
    settings = {"adapter": "near", "model": MODEL, **upstream}
    return load(initialise(folder, toml(configuration({"enclave": server}, upstream=settings))))


@pytest.mark.parametrize("behind", [False, True], ids=["machine", "gateway"])
async def test_near_recorded_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, behind: bool) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "sk-unmistakable")
    async with NearServer(behind=behind) as server:
        loaded, tape = near(tmp_path, server, api_key="env:PROVIDER_KEY"), tmp_path / "tape"
        first = (await record(loaded, "enclave", tape)).appraisal
        assert ("authorization" in server.heads[0]) is behind
    assert first.accepted, first.failure
    assert all(b"sk-unmistakable" not in file.read_bytes() for file in tape.rglob("*") if file.is_file())
    monkeypatch.delenv("PROVIDER_KEY")
    assert await replayed(loaded, tape) == first


async def test_dstacks_proxy_recorded_and_repeated(tmp_path: Path) -> None:
    """Asked twice: the second answer names the channel's key, and both were recorded."""
    async with NearServer(key=ecdsa(), sealed=False) as server:
        server.bend = lambda document: document.pop("ohttp_attestation")
        loaded = near(tmp_path, server, adapter="phala")
        first = (await record(loaded, "enclave", tmp_path / "tape")).appraisal
    assert first.accepted, first.failure
    assert await replayed(loaded, tmp_path / "tape") == first


def _signing_key(document: dict[str, Any]) -> None:
    document["signing_address"] = document["signing_public_key"] = "77" * 32


def _fingerprint(document: dict[str, Any]) -> None:
    document["tls_cert_fingerprint"] = "11" * 32


def _quote(document: dict[str, Any]) -> None:
    at = 2 * 400
    document["intel_quote"] = document["intel_quote"][:at] + format(int(document["intel_quote"][at], 16) ^ 1, "x") + document["intel_quote"][at + 1 :]


def _compose(document: dict[str, Any]) -> None:
    document["info"]["tcb_info"]["app_compose"] += " "


def _action(document: dict[str, Any]) -> None:
    document["compose_manager_attestation"]["actions"].pop()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (_signing_key, "binding.statement"),
        (_fingerprint, "binding.statement"),
        (_quote, "quote."),
        (_compose, "compose.hash"),
        (_action, "manager.actions"),
    ],
    ids=["signing key", "fingerprint", "quote", "compose file", "action"],
)
async def test_a_changed_recording_of_near_is_refused_and_named(tmp_path: Path, change: Callable[[dict[str, Any]], None], check: str) -> None:
    async with NearServer() as server:
        loaded, tape = near(tmp_path, server), tmp_path / "tape"
        await record(loaded, "enclave", tape)
    (body,) = (file for file in (tape / "responses").glob("*.body") if file.stem.endswith("report"))
    document = json.loads(body.read_bytes())
    for report in (document, *document["all_attestations"]):
        change(report)
    body.write_bytes(json.dumps(document).encode())
    failure = (await replayed(loaded, tape)).failure
    assert failure is not None
    assert failure.name.startswith(check)


async def test_a_recording_of_near_from_another_channel_is_refused(tmp_path: Path) -> None:
    async with NearServer() as server:
        loaded, tape = near(tmp_path, server), tmp_path / "tape"
        await record(loaded, "enclave", tape)
    for file in (tape / "responses").glob("*.json"):
        document = json.loads(file.read_text())
        if "peer_spki_der_base64" in document:
            file.write_text(json.dumps({**document, "peer_spki_der_base64": base64.b64encode(b"another key").decode()}))
    failure = (await replayed(loaded, tape)).failure
    assert failure is not None
    assert failure.name == "channel.spki"
