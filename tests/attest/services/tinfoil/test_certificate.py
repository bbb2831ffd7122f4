"""What a machine's certificate says of it in its names."""

import hashlib
import json

import pytest

from ollm.attest.services.tinfoil import certificate, document_v2
from ollm.testing.mint import tinfoil as mint
from tests.attest.services.tinfoil.enclaves import keys, snp
from tests.sim.hardware import NOW

REPORT = mint.v2(snp(), keys())
HASH = hashlib.sha256("".join(json.loads(REPORT).values()).encode()).hexdigest().encode()


def fact(answer: bytes) -> str:
    return certificate.fact(answer, REPORT, document_v2.parse(REPORT))


def test_key_and_report_are_named_in_pieces() -> None:
    assert fact(mint.named_certificate(keys(), NOW, hpke=keys().hpke, hatt=HASH)) == "sealing key: named; report: named"


@pytest.mark.parametrize(
    ("payloads", "told"),
    [
        ({}, "sealing key: not named; report: not named"),
        ({"hpke": bytes(32), "hatt": b"0" * 64}, "sealing key: another is named; report: another is named"),
        ({"hpke": keys().hpke[:31]}, "sealing key: another is named; report: not named"),
    ],
    ids=["nothing", "others", "short"],
)
def test_what_is_not_named_is_not_said_to_be(payloads: dict[str, bytes], told: str) -> None:
    assert fact(mint.named_certificate(keys(), NOW, **payloads)) == told


def test_pieces_that_are_missing_or_no_base32_spell_nothing() -> None:
    assert certificate._payload(["01abcd.hpke.tinfoil.sh"], "hpke") is None
    assert certificate._payload(["00abcd.hpke.tinfoil.sh", "00abcd.hpke.tinfoil.sh"], "hpke") is None
    assert certificate._payload(["00a.hpke.tinfoil.sh"], "hpke") is None
    assert certificate._payload(["00aa.hpke.tinfoil.sh.example"], "hpke") is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"none", "it can't be read"),
        (b'{"certificate":"none"}', "it can't be read"),
        (json.dumps({"certificate": keys().pem}).encode(), "it can't be read"),
        (mint.named_certificate(mint.create_keys(NOW), NOW), "it is for another key"),
    ],
    ids=["no JSON", "no certificate", "no names", "another key"],
)
def test_a_certificate_that_says_nothing(answer: bytes, told: str) -> None:
    assert fact(answer) == told
