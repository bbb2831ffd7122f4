"""app-compose: its exact text, as measured, and on the list."""

import hashlib

import pytest

from ollm.attest.dstack.compose import MAX_COMPOSE, accepting, check_hash, check_mr_config_id
from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.errors import EvidenceRefused
from ollm.values.policy import TdxReferenceValues

COMPOSE = '{"name": "app",  "runner": "docker-compose"}'
HASH = hashlib.sha256(COMPOSE.encode()).hexdigest()
EVENTS = (RuntimeEvent("compose-hash", bytes.fromhex(HASH)), RuntimeEvent("system-ready", b""))


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


def test_the_measured_text_has_the_measured_hash() -> None:
    assert check_hash(COMPOSE, EVENTS) == HASH


@pytest.mark.parametrize("text", ['{"name":"app","runner":"docker-compose"}', COMPOSE + "\n", "", "\ud800", " " * (MAX_COMPOSE + 1)])
def test_any_other_text_is_refused_the_same_document_written_again_too(text: str) -> None:
    with refused("compose.hash"):
        check_hash(text, EVENTS)


@pytest.mark.parametrize("payload", [b"", bytes(32), bytes.fromhex(HASH) + b"\x00"])
def test_another_measured_hash_is_refused(payload: bytes) -> None:
    with refused("compose.hash"):
        check_hash(COMPOSE, (RuntimeEvent("compose-hash", payload), EVENTS[1]))


def test_no_measured_hash_is_refused() -> None:
    with refused("compose.hash"):
        check_hash(COMPOSE, EVENTS[1:])


@pytest.mark.parametrize("value", [bytes(48), b"\x01" + bytes.fromhex(HASH) + bytes(15), b"\x02" + bytes(47), b"\x03" + bytes(47)])
def test_mrconfigid_agrees_or_is_silent(value: bytes) -> None:
    check_mr_config_id(value, HASH)


@pytest.mark.parametrize("value", [b"\x01" + bytes(47), b"\x01" + bytes.fromhex(HASH) + bytes(14) + b"\x01"])
def test_mrconfigid_that_contradicts_is_refused(value: bytes) -> None:
    with refused("compose.mr_config_id"):
        check_mr_config_id(value, HASH)


def test_the_list_of_the_build_that_was_measured_decides() -> None:
    other = TdxReferenceValues(name="other", source="", mrtd="", compose_hashes=("00" * 32,))
    listing = TdxReferenceValues(name="listing", source="", mrtd="", compose_hashes=("11" * 32, HASH))

    assert accepting(HASH, (other, listing)) is listing
    for matching in ((other,), ()):
        with refused("compose.accepted"):
            accepting(HASH, matching)
