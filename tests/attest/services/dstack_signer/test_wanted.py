"""Single checks of a signer: what is left when the whole way is tested elsewhere."""

import hashlib

import pytest

from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.attest.evidence import TdxEvidence
from ollm.attest.services.dstack_signer import wanted
from ollm.errors import EvidenceRefused
from ollm.values.checks import Claims

READY = RuntimeEvent("system-ready", b"")


def provided(payload: bytes) -> tuple[RuntimeEvent, ...]:
    return RuntimeEvent("key-provider", payload), READY


def test_the_statement_in_its_two_forms() -> None:
    key, fingerprint = b"\x01" * 32, b"\x02" * 32
    assert wanted.statement(key, fingerprint, channel=True) == hashlib.sha256(key + fingerprint).digest()
    assert wanted.statement(b"\x01" * 20, None, channel=False) == b"\x01" * 20 + bytes(12)
    with pytest.raises(EvidenceRefused, match=r"signer\.fingerprint"):
        wanted.statement(key, None, channel=True)


def test_who_provides_keys() -> None:
    found = wanted.check_key_provider(provided(b'{"name":"kms","id":"ab"}'), ("ab",))
    assert (found.name, found.id) == ("kms", "ab")
    for payload in (b"{}", b"not JSON", b'{"name":"none","id":""}', b'{"name":"kms","id":"cd"}'):
        with pytest.raises(EvidenceRefused, match=r"signer\.key_provider"):
            wanted.check_key_provider(provided(payload), ("ab",))
    with pytest.raises(EvidenceRefused, match="0 key-provider events"):
        wanted.check_key_provider((READY,), None)


def test_a_machine_without_a_log_has_no_boot_events() -> None:
    with pytest.raises(EvidenceRefused, match=r"event_log\.format"):
        wanted.runtime(TdxEvidence(quote=b""))


def test_the_channel_in_words() -> None:
    fingerprint = b"\x03" * 32
    wanted.check_channel(fingerprint, fingerprint.hex())
    for stated, peer in ((fingerprint, None), (None, fingerprint.hex()), (fingerprint, "00" * 32)):
        with pytest.raises(EvidenceRefused, match=r"channel\.spki"):
            wanted.check_channel(stated, peer)


def test_switches_are_no_gpus() -> None:
    claims = Claims(extra={"device0_kind": "gpu", "device1_kind": "switch", "device0_model": "gpu"})
    assert wanted.count_gpus(claims) == 1
