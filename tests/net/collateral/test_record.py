"""A record says what it answers and holds exact bytes; one that `encode` would not have written is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.record import MAX_RECORD, decode, encode
from tests.net.collateral.vendor import DAY, NOW, crl, crl_key

KEY = crl_key()
COPY = artefact(KEY, crl(), {}, NOW)


def changed(**members: Any) -> bytes:
    return json.dumps({**json.loads(encode(COPY)), **members}).encode()


def test_what_was_written_is_read_byte_for_byte() -> None:
    assert decode(encode(COPY), KEY.digest, NOW + 5) == COPY
    assert encode(COPY) == encode(decode(encode(COPY), KEY.digest, NOW))


def test_people_can_read_it() -> None:
    text = encode(COPY).decode()
    assert '"kind": "root-crl"' in text
    assert '"identity": "https://vendor.example/a-CA.der"' in text


def test_a_time_to_come_does_not_put_off_the_next_question() -> None:
    assert decode(changed(fetched_at=NOW + 900 * DAY), KEY.digest, NOW).fetched_at == NOW


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no record"),
        (b"[" * 10_000, "no record"),
        (changed(more=1), "no record"),
        (changed(body="%%"), "no record"),
        (changed(fetched_at="now"), "no record"),
        (changed(format="ollm-collateral/2"), "unknown kind"),
        (changed(kind="root-key"), "unknown kind"),
        (changed(kind="nras-keys"), "unknown kind"),
        (changed(identity="https://vendor.example/another.der"), "another record's name"),
        (changed(kind="amd-crl"), "another record's name"),
        (changed(sha256="00" * 32), "changed"),
        (changed(subject="\x1b[31m"), "changed"),
        (changed(subject="x" * 513), "changed"),
        (changed(fetched_at=-1), "without a time"),
        (b" " * (MAX_RECORD + 1), "bytes"),
    ],
)
def test_what_is_no_record_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(CollateralError, match=why):
        decode(data, KEY.digest, NOW)


def test_a_record_of_bytes_without_a_period_is_refused() -> None:
    broken = Artefact(key=KEY, body=b"garbage", headers={}, fetched_at=NOW, term=COPY.term)
    with pytest.raises(CollateralError, match="no usable"):
        decode(encode(broken), KEY.digest, NOW)


def test_a_record_has_the_headers_of_its_kind_alone() -> None:
    assert decode(changed(headers={"set-cookie": "x"}), KEY.digest, NOW).headers == {}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_refusal(data: bytes) -> None:
    with pytest.raises(CollateralError):
        decode(data, Key("root-crl", "", "").digest, NOW)
