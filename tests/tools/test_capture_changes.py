"""One thing changed in a recording, and nothing else."""

import base64
import gzip
import json
from typing import Any

import pytest

from ollm.errors import ConfigError
from ollm.net.tape import Manifest, Recorded, exchange_of
from tools.capture_changes import Change, changed

NONCE = "ab" * 32
MANIFEST = Manifest(provider="aci", nonce_hex=NONCE, captured_at="2026-11-24T08:00:00Z")
KEY = b"key of the peer"
DOCUMENT = {
    "quote": "00ff00",
    "prefixed": "0x00ff00",
    "sealed": base64.b64encode(b"\x00\xff").decode(),
    "packed": base64.b64encode(gzip.compress(b"\x00\xff", mtime=0)).decode(),
    "token": "head.body." + base64.urlsafe_b64encode(b"\x00\xff\xfe").decode().rstrip("="),
    "text": json.dumps({"inner": "aa"}),
    "many": [{"key": "11"}, {"key": "22"}],
    "number": 5,
}


def recording(document: Any = DOCUMENT) -> list[Recorded]:
    report = exchange_of("GET", f"https://a.example/report?nonce={NONCE}", 200, {}, peer_key=KEY)
    posted = exchange_of("POST", "https://b.example/judge", 200, {}, sent=NONCE.encode())
    return [Recorded(report, json.dumps(document).encode()), Recorded(posted, b"judged")]


def member(*path: str | int, encoding: Any = "hex", at: int = 0) -> dict[str, Any]:
    change = Change(what="it", check=("x",), url="report", path=path, encoding=encoding, at=at)
    manifest, recorded = changed(MANIFEST, recording(), change)
    assert manifest is MANIFEST
    assert recorded[1] == recording()[1]
    assert recorded[0].exchange == recording()[0].exchange
    after: dict[str, Any] = json.loads(recorded[0].body)
    return {name: value for name, value in after.items() if value != DOCUMENT[name]}


def test_one_bit_of_a_member() -> None:
    assert member("quote", at=1) == {"quote": "00fe00"}
    assert member("quote", at=-1) == {"quote": "00ff01"}
    assert base64.b64decode(member("sealed", encoding="base64")["sealed"]) == b"\x01\xff"
    assert gzip.decompress(base64.b64decode(member("packed", encoding="base64-gzip")["packed"])) == b"\x01\xff"
    assert member("token", encoding="jwt", at=2)["token"] == "head.body." + base64.urlsafe_b64encode(b"\x00\xff\xff").decode().rstrip("=")
    assert member("many", 1, "key") == {"many": [{"key": "11"}, {"key": "23"}]}
    assert member("many", "*", "key") == {"many": [{"key": "10"}, {"key": "23"}]}


def test_a_prefix_and_json_in_a_text_are_seen_through() -> None:
    alone = recording({"prefixed": "0x00ff00", "text": json.dumps({"inner": "aa"})})
    for path, after in ((("prefixed",), b"0x01ff00"), (("text", "inner"), b'\\"ab\\"')):
        _, recorded = changed(MANIFEST, alone, Change(what="it", check=("x",), path=path))
        assert after in recorded[0].body


def test_another_nonce_is_asked_for_and_gets_the_same_answers() -> None:
    manifest, recorded = changed(MANIFEST, recording(), Change(what="nonce", check=("x",), kind="nonce"))
    assert manifest.nonce_hex == NONCE[:-1] + "a"
    assert recorded[0].exchange.url.endswith(manifest.nonce_hex)
    assert [each.exchange.sent for each in recorded[1:]] == [manifest.nonce_hex.encode(), NONCE.encode()]
    assert [each.body for each in recorded[:2]] == [each.body for each in recording()]


def test_another_key_of_the_peer() -> None:
    _, recorded = changed(MANIFEST, recording(), Change(what="key", check=("x",), kind="channel", url="report"))
    assert recorded[0].exchange.peer_key == KEY[:-1] + b"s"
    assert recorded[1] == recording()[1]


def test_a_text() -> None:
    _, recorded = changed(MANIFEST, recording(), Change(what="it", check=("x",), kind="text", url="judge", find="judged", replace="nudged"))
    assert [each.body for each in recorded][1] == b"nudged"


@pytest.mark.parametrize(
    "change",
    [
        Change(what="it", check=("x",), url="nowhere"),
        Change(what="it", check=("x",), path=("absent",)),
        Change(what="it", check=("x",), path=("many", 7)),
        Change(what="it", check=("x",), path=("number",)),
        Change(what="it", check=("x",), path=("quote",), at=9),
        Change(what="it", check=("x",), path=("sealed",), encoding="hex"),
        Change(what="it", check=("x",), path=("sealed",), encoding="base64-gzip"),
        Change(what="it", check=("x",), kind="text", find="absent", replace="present"),
        Change(what="it", check=("x",), kind="text", find="quote", replace="short"[:3]),
    ],
)
def test_a_change_that_finds_nothing_is_said(change: Change) -> None:
    with pytest.raises(ConfigError):
        changed(MANIFEST, recording(), change)


def test_for_which_recordings_a_change_is() -> None:
    assert Change(what="it", check=("x",)).applies("a_1", None)
    assert not Change(what="it", check=("x",), only="b").applies("a_1", None)
    assert not Change(what="it", check=("x",)).applies("a_1", "other")
    assert Change(what="it", check=("x",), only="a", upstream="other").applies("a_1", "other")
