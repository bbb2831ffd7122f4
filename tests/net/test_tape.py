"""A recording answers with what was recorded to the very same request, and with nothing else."""

import base64
import json
from pathlib import Path

import pytest

from ollm.errors import ConfigError, UpstreamError
from ollm.net.tape import Exchange, Manifest, Recorder, RecordingFetch, ReplayingFetch, Tape, exchange_of, open_tape
from ollm.ports import Fetched

NONCE = "ab" * 32
URL = f"https://provider.example/v1/report?a=1&nonce={NONCE}"
KEY = b"a key in DER"
MANIFEST = Manifest(provider="aci", nonce_hex=NONCE, captured_at="2026-11-24T08:00:00.5Z")


class Answering:
    """`ports.Fetch` that says what it is told to."""

    def __init__(self, *answers: Fetched) -> None:
        self.answers = list(answers)

    async def get(self, url: str) -> Fetched:
        return self.answers.pop(0)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        return self.answers.pop(0)


def recorder(secret: bytes | None = None) -> Recorder:
    kept = Recorder(secret)
    kept.keep(
        exchange_of("GET", URL, 200, {"Content-Type": "application/json", "Set-Cookie": "id=1"}, peer_key=KEY, tls_version="TLSv1.3"), b"\x00one"
    )
    return kept


def saved(folder: Path, kept: Recorder) -> Tape:
    kept.save(folder, MANIFEST)
    return open_tape(folder)


def test_what_is_written_can_be_asked_again(tmp_path: Path) -> None:
    tape = saved(tmp_path / "new", recorder())
    found = tape.answer("GET", URL)
    assert (found.body, found.exchange.status, found.exchange.peer_key) == (b"\x00one", 200, KEY)
    assert found.exchange.fields == {"content-type": "application/json"}  # cookies are credentials too
    assert tape.first_key("https://provider.example") == KEY
    assert tape.first_key("https://other.example") is None
    assert (tape.manifest.moment, tape.manifest.nonce) == (1795507200, NONCE)


def test_a_request_whose_body_is_drawn_anew_is_known_by_its_address(tmp_path: Path) -> None:
    kept = recorder()
    for body in (b'{"key":1}', b'{"key":2}'):
        kept.keep(exchange_of("POST", URL, 200, {}, sent=body, peer_key=KEY), b"to " + body)
    tape = saved(tmp_path / "new", kept)
    found = tape.answer("POST", URL, None)
    assert (found.body, found.exchange.sent) == (b'to {"key":1}', b'{"key":1}')
    for method, url in (("PUT", URL), ("POST", "https://provider.example/other")):
        with pytest.raises(UpstreamError):
            tape.answer(method, url, None)


def test_the_format_on_disk(tmp_path: Path) -> None:
    recorder().save(tmp_path / "new", MANIFEST)
    files = sorted(file.name for file in (tmp_path / "new" / "responses").iterdir())
    assert files == ["0001_provider.example_v1_report.body", "0001_provider.example_v1_report.json"]
    document = json.loads((tmp_path / "new" / "responses" / files[1]).read_text())
    assert document["peer_spki_der_base64"] == base64.b64encode(KEY).decode()
    assert document["headers"] == {"Content-Type": ["application/json"]}
    assert "req_body_base64" not in document
    assert set(json.loads((tmp_path / "new" / "manifest.json").read_text())) == {"provider", "nonce_hex", "captured_at", "duration_ms"}


@pytest.mark.parametrize("url", [URL.replace("ab", "ac", 1), f"https://provider.example/v1/report?nonce={NONCE}&a=1", URL + "&b"])
def test_another_url_has_no_answer(tmp_path: Path, url: str) -> None:
    tape = saved(tmp_path / "new", recorder())
    with pytest.raises(UpstreamError) as problem:
        tape.answer("GET", url)
    assert f"no answer to GET {url}" in problem.value.reason


def test_vendors_parameters_are_compared_by_what_they_say(tmp_path: Path) -> None:
    pcs, kds = "https://pcs.example/tcb?fmspc=90c06f000000", "https://kds.example/vcek?blSPL=4&teeSPL=0&ucodeSPL=115"
    kept = Recorder()
    for url in (pcs, kds):
        kept.keep(exchange_of("GET", url, 200, {}), url.encode())
    tape = saved(tmp_path / "new", kept)
    assert tape.answer("GET", "https://pcs.example/tcb?fmspc=90C06F000000").body == pcs.encode()
    assert tape.answer("GET", "https://kds.example/vcek?blSPL=04&teeSPL=00&ucodeSPL=115").body == kds.encode()
    for other in (pcs.replace("90c0", "90c1"), pcs.replace("fmspc=9", "x=9"), kds.replace("=115", "=116"), kds.replace("vcek", "VCEK"), kds + "&a=1"):
        with pytest.raises(UpstreamError):
            tape.answer("GET", other)


def test_a_request_that_is_repeated_is_answered_in_order_and_then_as_last(tmp_path: Path) -> None:
    kept = Recorder()
    for body in (b"1", b"2"):
        kept.keep(exchange_of("GET", URL, 200, {}), body)
    tape = saved(tmp_path / "new", kept)
    assert [tape.answer("GET", URL).body for _ in range(4)] == [b"1", b"2", b"2", b"2"]


def test_posts_are_told_apart_by_what_they_say(tmp_path: Path) -> None:
    kept = Recorder()
    kept.keep(exchange_of("POST", URL, 200, {}, sent=b'{"a": 1, "b": [2]}'), b"json")
    kept.keep(exchange_of("POST", URL, 200, {}, sent=b"\x30\x00"), b"der")
    kept.keep(exchange_of("POST", URL, 200, {}, sent=b"{broken"), b"broken")
    tape = saved(tmp_path / "new", kept)
    assert tape.answer("POST", URL, b'{"b":[2],"a":1}').body == b"json"
    assert tape.answer("POST", URL, b"\x30\x00").body == b"der"
    assert tape.answer("POST", URL, b"{broken").body == b"broken"
    for other in (b'{"b":[2],"a":2}', b"\x30\x01", b"{broken "):
        with pytest.raises(UpstreamError):
            tape.answer("POST", URL, other)
    with pytest.raises(UpstreamError):
        tape.answer("GET", URL)


@pytest.mark.parametrize(
    ("headers", "sent", "body"),
    [({"X-Echo": "sk-secret"}, None, b""), ({}, b"key=sk-secret", b""), ({}, None, b"you sent sk-secret")],
    ids=["header", "request", "answer"],
)
def test_a_credential_is_never_recorded(headers: dict[str, str], sent: bytes | None, body: bytes) -> None:
    kept = Recorder(b"sk-secret")
    with pytest.raises(UpstreamError, match="repeats our credential") as problem:
        kept.keep(exchange_of("POST", URL, 200, headers, sent=sent), body)
    assert "sk-secret" not in str(problem.value)


async def test_what_was_fetched_is_fetched_again(tmp_path: Path) -> None:
    kept = Recorder()
    live = RecordingFetch(Answering(Fetched(200, {"a": "b"}, b"x"), Fetched(429, {"retry-after": "1"}, b"y")), kept)
    first, second = await live.get(URL), await live.post(URL, b"body", "text/plain")
    again = ReplayingFetch(saved(tmp_path / "new", kept))
    assert (await again.get(URL), await again.post(URL, b"body", "text/plain")) == (first, second)


def test_a_recording_is_never_mixed_with_another(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        recorder().save(tmp_path, MANIFEST)
    with pytest.raises(ConfigError, match="not empty"):
        Recorder.check(tmp_path / "kept")
    assert saved(tmp_path / "new" / "deeper", recorder()).manifest == MANIFEST


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't write"):
        recorder().save(Path("/proc/nowhere"), MANIFEST)


def test_headers_of_one_name_are_joined_whatever_their_case() -> None:
    assert Exchange(method="GET", url=URL, status=200, headers={"Via": ["a", "b"], "via": ["c"]}).fields == {"via": "a, b, c"}


def broken(folder: Path, name: str, content: bytes) -> Path:
    recorder().save(folder, MANIFEST)
    (folder / name).write_bytes(content)
    return folder


EXCHANGE = "responses/0001_provider.example_v1_report.json"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"{}"),
        ("manifest.json", b"\xff"),
        (EXCHANGE, b"[" * 5000),
        (EXCHANGE, b'{"method":"GET","url":"u","status":200,"req_body_base64":"?"}'),
        (EXCHANGE, b'{"method":"GET","url":"u","status":200,"peer_spki_der_base64":"?"}'),
        (EXCHANGE, b'{"method":"GET","url":"u","status":200,"headers":{"Content-Encoding":["gzip"]}}'),
        ("responses/0002_x.json", b'{"method":"GET","url":"u","status":200}'),
    ],
    ids=["manifest", "no utf-8", "deep", "request", "key", "compressed", "no body"],
)
def test_what_is_no_recording_is_said(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ConfigError):
        open_tape(broken(tmp_path / "new", name, content))


def test_nothing_and_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="can't read"):
        open_tape(tmp_path)
    recorder().save(tmp_path / "new", MANIFEST)
    monkeypatch.setattr("ollm.net.tape.MAX_EXCHANGES", 0)
    with pytest.raises(ConfigError, match="more than 0"):
        open_tape(tmp_path / "new")
    monkeypatch.setattr("ollm.net.tape.MAX_FILE", 3)
    with pytest.raises(ConfigError, match="larger"):
        open_tape(tmp_path / "new")


@pytest.mark.parametrize(("nonce", "at"), [("ab", "2026-11-24T08:00:00Z"), (NONCE, "yesterday")])
def test_a_manifest_that_says_nothing_usable(nonce: str, at: str) -> None:
    manifest = Manifest(provider="aci", nonce_hex=nonce, captured_at=at)
    with pytest.raises(ConfigError, match="give"):
        _ = manifest.nonce, manifest.moment
