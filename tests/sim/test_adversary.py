"""Each lie is told where it belongs, and everything else stays genuine."""

import json

import pytest

from ollm.errors import ApiError
from ollm.sim import adversary
from ollm.sim.breaks import BREAKS
from ollm.sim.identity import create_identity
from ollm.sim.machine import SimulatedMachine
from tests.sim.hardware import NOW

REPORT_DATA = b"\x01" * 32 + bytes(32)
REPORT_DATA_AT = slice(568, 632)  # of a quote of version 4
DAY = 86_400


@pytest.mark.parametrize("kind", [None, "wrong-nonce", "replayed-quote"])
async def test_what_is_quoted(machine: SimulatedMachine, kind: str | None) -> None:
    source = adversary.quote_source(kind, adversary.MachineQuotes(machine))
    first, second = await source.quote(REPORT_DATA), await source.quote(REPORT_DATA)
    quoted = [bytes.fromhex(quote.quote)[REPORT_DATA_AT] for quote in (first, second)]
    assert (REPORT_DATA in quoted) is (kind is None)
    assert (quoted[0] == quoted[1]) is (kind != "wrong-nonce")
    assert first.app_compose == machine.app_compose


def test_how_long_the_keyset_is_valid() -> None:
    assert adversary.keyset_end(None, NOW, DAY) == NOW + DAY
    assert adversary.keyset_end("expired-keyset", NOW, DAY) < NOW
    assert adversary.keyset_end("endless-keyset", NOW, DAY) > NOW + 3000 * DAY


def test_which_keys_are_listed_and_published() -> None:
    identity = create_identity(NOW)
    keyset = identity.keyset(not_after=NOW)
    assert adversary.listed_keys(None, keyset) is keyset
    other = adversary.listed_keys("spki-mismatch", keyset)
    assert other.tls_public_keys != keyset.tls_public_keys
    assert other.e2ee_public_keys == keyset.e2ee_public_keys
    assert adversary.published_key(None, b"k" * 32) == b"k" * 32
    assert adversary.published_key("hpke-mismatch", b"k" * 32) != b"k" * 32


REPORT = {"api_version": "aci/1", "workload_keyset_digest": "sha256:ab", "attestation": {"workload_keyset": {"receipt_signing_keys": []}}}


def test_what_the_report_tells() -> None:
    told = {kind: adversary.told_report(kind, json.dumps(REPORT).encode()) for kind in (None, "malformed-report", "unknown-report-version")}
    assert told[None] == json.dumps(REPORT).encode()
    assert "attestation" not in json.loads(told["malformed-report"])
    assert json.loads(told["unknown-report-version"])["api_version"] != "aci/1"
    lost = json.loads(adversary.told_report("malformed-keyset", json.dumps(REPORT).encode()))
    assert lost["attestation"]["workload_keyset"] == {}
    renamed = json.loads(adversary.told_report("keyset-digest-mismatch", json.dumps(REPORT).encode()))
    assert renamed["workload_keyset_digest"] != REPORT["workload_keyset_digest"]


def test_silence_is_a_404() -> None:
    with pytest.raises(ApiError) as caught:
        adversary.told_report("no-evidence", b"{}")
    assert caught.value.status == 404


def test_a_defect_of_the_hardware_is_none_of_the_reports() -> None:
    for kind, entry in BREAKS.items():
        if entry.layer == "hardware":
            assert adversary.told_report(kind, b"as it is") == b"as it is"
