"""`ollm verify`: 0 trusted, 1 refused, 2 could not be judged; text for people, one document for programs."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from ollm.app.demo import BROKEN_MODEL, MODEL, Stage
from tests.cli.conftest import Ollm


class Kept(NamedTuple):
    """What a client kept of one chat, as files."""

    folder: Path
    receipt_id: str
    session_id: str

    def file(self, name: str) -> Path:
        return self.folder / name

    def tampered(self, name: str, old: bytes, new: bytes) -> Path:
        data = self.file(name).read_bytes()
        assert data.count(old) == 1
        path = self.folder / f"tampered-{name}"
        path.write_bytes(data.replace(old, new))
        return path


@pytest.fixture(scope="module")
def kept(play: Stage, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    request = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
    with httpx2.Client(base_url=play.url, headers={"authorization": f"Bearer {play.api_key}"}, timeout=30) as http:
        answer = http.post("/v1/chat/completions", content=request)
        receipt = http.get(f"/v1/aci/receipts/{answer.headers['x-receipt-id']}").content
        (session_id,) = [event["session_id"] for event in json.loads(receipt)["event_log"] if "session_id" in event]
        session = http.get(f"/v1/aci/sessions/{session_id}").content
    files = {"request": request, "response": answer.content, "receipt": receipt, "session": session, "keyset": http_report(play)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "key").write_text(play.api_key)
    (folder / "key").chmod(0o600)
    return Kept(folder, answer.headers["x-receipt-id"], session_id)


def http_report(play: Stage) -> bytes:
    return httpx2.get(f"{play.url}/v1/aci/attestation").content


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["outcome"] for check in document["checks"]}


# A provider


def test_a_genuine_provider_is_accepted_as_what_it_is(ollm: Ollm, play_config: Path) -> None:
    document = json.loads(ollm("verify", "provider", "enclave", "--json", "-c", play_config).stdout)
    assert (document["accepted"], document["level"], document["policy"], document["upstream"]) == (True, "simulated", "enclave", "enclave")
    assert set(outcomes(document).values()) == {"passed"}
    told = ollm("verify", "provider", "enclave", "-c", play_config).stdout
    assert "✓ quote.signature" in told
    assert told.endswith("Accepted as simulated: software plays the hardware here, and nothing is proven about privacy.\n")


def test_a_broken_provider_is_refused_and_the_check_named(ollm: Ollm, play: Stage, play_config: Path) -> None:
    document = json.loads(ollm("verify", "provider", "debug-enclave", "--json", "-c", play_config, exits=1).stdout)
    assert (document["accepted"], document["session_id"]) == (False, None)
    assert outcomes(document)["quote.debug"] == "failed"
    assert outcomes(document)["channel.spki"] == "not_reached"
    told = ollm("verify", "provider", "debug-enclave", "-c", play_config, exits=1).stdout
    assert "✗ quote.debug" in told
    assert told.endswith("Refused. Nothing would be sent to this machine.\n")


def test_an_unknown_provider_is_no_verdict(ollm: Ollm, play_config: Path, config: Path) -> None:
    told = ollm("verify", "provider", "near", "-c", play_config, exits=2).stderr
    assert told == "ollm: there is no upstream 'near' in the configuration — configured: enclave, debug-enclave\n"
    assert "configured: none" in ollm("verify", "provider", "near", "-c", config, exits=2).stderr


# The gateway


def test_the_gateway_is_accepted_with_its_digests(ollm: Ollm, play: Stage, play_config: Path) -> None:
    document = json.loads(ollm("verify", "gateway", play.url, "--policy", "gateway", "--json", "-c", play_config).stdout)
    assert document["accepted"] is True
    assert document["config_digest"] == play.loaded.digest
    assert document["keyset_digest"] == play.gateway.keyset_digest
    assert f"config digest: {play.loaded.digest}" in ollm("verify", "gateway", play.url, "--policy", "gateway", "-c", play_config).stdout


def test_the_gateway_under_another_policy_is_refused(ollm: Ollm, play: Stage, play_config: Path) -> None:
    document = json.loads(ollm("verify", "gateway", play.url, "--policy", "enclave", "--json", "-c", play_config, exits=1).stdout)
    assert outcomes(document)["compose.accepted"] == "failed"
    assert document["keyset_digest"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no policy to judge the gateway under"),
        (["--policy", "nobody"], "there is no policy 'nobody' in the configuration"),
    ],
)
def test_without_a_policy_there_is_no_verdict(ollm: Ollm, play: Stage, play_config: Path, arguments: list[str], told: str) -> None:
    assert told in ollm("verify", "gateway", play.url, *arguments, "-c", play_config, exits=2).stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://192.0.2.1", "gateway.example"])
def test_a_gateway_that_can_not_be_asked_is_no_verdict(ollm: Ollm, play_config: Path, url: str) -> None:
    result = ollm("verify", "gateway", url, "--policy", "gateway", "-c", play_config, exits=2)
    assert result.stderr.startswith("ollm: connect: ")
    assert result.stdout == ""


# A receipt


def test_a_receipt_is_fetched_and_judged_with_everything_it_speaks_of(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    bodies = ["--request", kept.file("request"), "--response", kept.file("response")]
    trust = ["--gateway", play.url, "--policy", "gateway", "--key", f"file:{kept.file('key')}"]
    document = json.loads(ollm("verify", "receipt", kept.receipt_id, *trust, *bodies, "--json", "-c", play_config).stdout)
    assert document["accepted"] is True
    assert document["receipt"]["receipt_id"] == kept.receipt_id
    assert list(outcomes(document))[-3:] == ["receipt.signature", "receipt.bodies", "receipt.session"]
    assert set(outcomes(document).values()) == {"passed"}


def test_the_key_can_stand_in_the_environment(ollm: Ollm, play: Stage, play_config: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["verify", "receipt", kept.receipt_id, "--gateway", play.url, "--policy", "gateway", "-c", str(play_config)]
    assert "OLLM_API_KEY is not set" in ollm(*arguments, exits=2).stderr
    monkeypatch.setenv("OLLM_API_KEY", play.api_key)
    told = ollm(*arguments).stdout
    assert "request.received" in told
    assert "response.returned" in told


def test_a_kept_receipt_is_judged_under_a_kept_keyset_without_asking_anyone(ollm: Ollm, play_config: Path, kept: Kept) -> None:
    arguments = ["--keyset", kept.file("keyset"), "--request", kept.file("request"), "--json", "-c", play_config]
    document = json.loads(ollm("verify", "receipt", kept.file("receipt"), *arguments).stdout)
    assert outcomes(document) == {"receipt.signature": "passed", "receipt.bodies": "passed"}


def test_a_kept_receipt_under_a_kept_keyset_takes_no_configuration(ollm: Ollm, kept: Kept, tmp_path: Path) -> None:
    arguments = ["--keyset", kept.file("keyset"), "--request", kept.file("request"), "--json", "-c", tmp_path / "nowhere.toml"]
    assert json.loads(ollm("verify", "receipt", kept.file("receipt"), *arguments).stdout)["accepted"] is True


def test_a_tampered_receipt_is_refused(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    forged = kept.tampered("receipt", b'"method":"POST"', b'"method":"PUT"')
    document = json.loads(ollm("verify", "receipt", forged, "--keyset", kept.file("keyset"), "--json", "-c", play_config, exits=1).stdout)
    assert (document["accepted"], document["receipt"]) == (False, None)
    assert outcomes(document) == {"receipt.signature": "failed"}
    elsewhere = kept.tampered("receipt", kept.session_id.encode(), b"0" * 64)
    told = ollm("verify", "receipt", elsewhere, "--gateway", play.url, "--policy", "gateway", "-c", play_config, exits=1).stdout
    assert "✗ receipt.signature" in told, "a forged citation is a forgery, not a missing session"


def test_other_bytes_than_those_in_the_receipt_are_refused(ollm: Ollm, play_config: Path, kept: Kept) -> None:
    arguments = ["--keyset", kept.file("keyset"), "--request", kept.file("response"), "-c", play_config]
    assert "✗ receipt.bodies" in ollm("verify", "receipt", kept.file("receipt"), *arguments, exits=1).stdout


def test_under_a_policy_that_refuses_the_gateway_its_receipt_is_refused(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    arguments = ["--gateway", play.url, "--policy", "enclave", "-c", play_config]
    told = ollm("verify", "receipt", kept.file("receipt"), *arguments, exits=1).stdout
    assert "✗ compose.accepted" in told
    assert "receipt.signature" not in told


def test_what_is_missing_is_no_verdict(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    keyset = ["--keyset", kept.file("keyset"), "-c", play_config]
    assert "there is no file nowhere.json" in ollm("verify", "receipt", "nowhere.json", *keyset, exits=2).stderr
    assert "can't read" in ollm("verify", "receipt", kept.file("receipt"), "--request", kept.file("nowhere"), *keyset, exits=2).stderr
    assert "can't read" in ollm("verify", "receipt", kept.file("receipt"), "--keyset", kept.file("nowhere"), "-c", play_config, exits=2).stderr
    assert "keyset" in ollm("verify", "receipt", kept.file("receipt"), "--keyset", kept.file("key"), "-c", play_config, exits=2).stderr
    assert "which receipt key to trust" in ollm("verify", "receipt", kept.file("receipt"), "-c", play_config, exits=2).stderr


def test_a_receipt_of_nobody_is_no_verdict(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    arguments = ["--gateway", play.url, "--policy", "gateway", "--key", f"file:{kept.file('key')}", "-c", play_config]
    told = ollm("verify", "receipt", "rcpt_" + "0" * 32, *arguments, exits=2).stderr
    assert told == "ollm: headers: the gateway answered 404 for this receipt\n"


def test_a_refusal_has_a_receipt_that_holds_and_cites_nothing(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    body = json.dumps({"model": BROKEN_MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
    refusal = httpx2.post(f"{play.url}/v1/chat/completions", content=body, headers={"authorization": f"Bearer {play.api_key}"})
    trust = ["--gateway", play.url, "--policy", "gateway", "--key", f"file:{kept.file('key')}"]
    document = json.loads(ollm("verify", "receipt", refusal.headers["x-receipt-id"], *trust, "--json", "-c", play_config).stdout)
    assert "receipt.session" not in outcomes(document)
    assert "quote.debug" in json.dumps(document["receipt"]["event_log"])


# A session


@pytest.mark.parametrize("where", ["id", "file"])
def test_a_session_is_judged_again(ollm: Ollm, play: Stage, play_config: Path, kept: Kept, where: str) -> None:
    name = [kept.session_id, "--gateway", play.url] if where == "id" else [kept.file("session")]
    document = json.loads(ollm("verify", "session", *name, "--policy", "enclave", "--json", "-c", play_config).stdout)
    assert (document["accepted"], document["session_id"]) == (True, kept.session_id)


def test_a_session_under_another_policy_is_refused(ollm: Ollm, play_config: Path, kept: Kept) -> None:
    assert "✗ compose.accepted" in ollm("verify", "session", kept.file("session"), "--policy", "gateway", "-c", play_config, exits=1).stdout


def test_a_tampered_session_is_refused(ollm: Ollm, play_config: Path, kept: Kept) -> None:
    forged = kept.tampered("session", b'"digest":"sha256:', b'"digest":"sha256:0')
    document = json.loads(ollm("verify", "session", forged, "--policy", "enclave", "--json", "-c", play_config, exits=1).stdout)
    assert outcomes(document) == {"session.evidence": "failed"}


def test_a_session_that_is_not_there_or_none_is_no_verdict(ollm: Ollm, play: Stage, play_config: Path, kept: Kept) -> None:
    under = ["--policy", "enclave", "-c", play_config]
    assert "neither a file nor a session id" in ollm("verify", "session", "nowhere.json", *under, exits=2).stderr
    assert "no gateway to ask" in ollm("verify", "session", "0" * 64, *under, exits=2).stderr
    assert "answered 404" in ollm("verify", "session", "0" * 64, "--gateway", play.url, *under, exits=2).stderr
    assert "not a session document" in ollm("verify", "session", kept.file("key"), *under, exits=2).stderr
    assert "no policy 'nobody'" in ollm("verify", "session", kept.file("session"), "--policy", "nobody", "-c", play_config, exits=2).stderr
