"""The server that plays Chutes: what it says is true to form, and each way of cheating changes what it names."""

import base64
import json
from typing import Any

import pytest

from ollm.attest.services.chutes.report import read
from ollm.attest.services.evidence import ServiceEvidence
from ollm.attest.tdx.layout import parse_quote
from ollm.testing.providers.chutes import ApiCheat, ChutesServer
from ollm.values.hexes import Hex32

NONCE = Hex32("a5" * 32)


def read_from(server: ChutesServer) -> Any:
    documents = {"instances": json.dumps(server.listing()).encode(), "report": json.dumps(server.evidence(NONCE)).encode()}
    return read(ServiceEvidence(documents=documents, nonce=NONCE, host="a", peer_spki_sha256=None))


def test_each_instance_states_nonce_key_and_certificate_in_its_quote() -> None:
    for instance in read_from(ChutesServer()).instances:
        assert parse_quote(instance.quote_bytes).td_report.report_data == instance.report_data


@pytest.mark.parametrize("cheat", [ApiCheat.SWAPPED_KEYS, ApiCheat.OTHER_INSTANCE, ApiCheat.STALE, ApiCheat.OTHER_CERTIFICATE])
def test_a_cheating_api_says_something_else_than_the_quotes(cheat: ApiCheat) -> None:
    server = ChutesServer()
    server.cheat = cheat
    for instance in read_from(server).instances:
        assert parse_quote(instance.quote_bytes).td_report.report_data != instance.report_data


def test_some_cheats_begin_when_evidence_was_asked_for() -> None:
    for cheat in (ApiCheat.SWAPPED_LATER, ApiCheat.GONE):
        server = ChutesServer()
        server.cheat = cheat
        before = server.listing()["instances"]
        server.evidence(NONCE)
        after = server.listing()["instances"]
        assert [each["e2e_pubkey"] for each in before] == [instance.key for instance in server.instances]
        assert [each["e2e_pubkey"] for each in after] != [each["e2e_pubkey"] for each in before]


def test_nonces_are_fresh_unless_the_api_cheats() -> None:
    server = ChutesServer(instances=1)
    lists = [server.listing()["instances"][0]["nonces"] for _ in range(2)]
    assert len(set(lists[0] + lists[1])) == 20
    server.cheat = ApiCheat.SAME_NONCES
    assert server.listing()["instances"][0]["nonces"] == lists[0]
    server.cheat = ApiCheat.NO_NONCES
    assert server.listing()["instances"][0]["nonces"] == []


def test_an_instance_may_run_another_build_or_say_nothing_that_can_be_read() -> None:
    server = ChutesServer(instances=2, unlisted=1)
    first, second = server.instances
    assert first.machine.td_report.mrtd != second.machine.td_report.mrtd
    second.unreadable = True
    assert base64.b64decode(second.evidence(NONCE)["quote"]) == b"\x04\x00"


def test_a_gateway_passes_the_same_on() -> None:
    server = ChutesServer()
    found = read(
        ServiceEvidence(documents={"report": json.dumps(server.passed_on("77" * 32)).encode()}, nonce=NONCE, host="a", peer_spki_sha256=None)
    )
    assert found.nonce == "77" * 32
    assert [instance.public_key for instance in found.instances] == [each.recipient.public_key for each in server.instances]
