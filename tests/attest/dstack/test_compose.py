"""app-compose: its exact text, as measured, and on the list."""

import hashlib

import pytest

from ollm.attest.dstack.compose import MAX_COMPOSE, accepting, check_hash
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


def test_the_list_of_the_build_that_was_measured_decides() -> None:
    other = TdxReferenceValues(name="other", source="", mrtd="", compose_hashes=("00" * 32,))
    listing = TdxReferenceValues(name="listing", source="", mrtd="", compose_hashes=("11" * 32, HASH))

    assert accepting(HASH, (other, listing)) is listing
    for matching in ((other,), ()):
        with refused("compose.accepted"):
            accepting(HASH, matching)
