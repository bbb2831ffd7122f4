"""What is read of an answer of Chutes' API, and what is not one."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ollm.attest.services.chutes.report import MAX_GPUS, MAX_INSTANCES, read
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.testing.providers.chutes import FakeInstance
from tests.attest.services.chutes.instances import NONCE, own, passed_on
from tests.sim.hardware import NOW


@pytest.fixture
def instances(machine: SimulatedMachine) -> list[FakeInstance]:
    return [FakeInstance(machine, number, NOW) for number in range(2)]


def test_both_forms_say_the_same_of_an_instance(instances: list[FakeInstance]) -> None:
    mine, theirs = read(own(instances)), read(passed_on(instances))
    assert (mine.nonce, theirs.nonce) == (None, NONCE)
    for left, right, instance in zip(mine.instances, theirs.instances, instances, strict=True):
        assert left.instance_id == right.instance_id == instance.instance_id
        assert left.public_key == right.public_key == instance.recipient.public_key
        assert left.statement == right.statement == right.report_data == left.report_data[:32]
        assert len(left.report_data) == 64
        assert left.arch == "" and left.devices == ()


def test_an_instance_without_a_key_or_without_evidence_is_left_out(instances: list[FakeInstance]) -> None:
    first, second = instances
    assert [each.instance_id for each in read(own(instances, lambda listing, _: listing["instances"].pop(0))).instances] == [second.instance_id]
    assert [each.instance_id for each in read(own(instances, lambda _, report: report["evidence"].pop(1))).instances] == [first.instance_id]


def setting(where: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    def change(listing: dict[str, Any], report: dict[str, Any]) -> None:
        target = listing["instances"][0] if where == "e2e_pubkey" else report["evidence"][0]
        target[where] = value

    return change


MALFORMED: dict[str, Callable[[list[FakeInstance]], Any]] = {
    "no list of instances": lambda each: own(each, instances=b""),
    "a list that is none": lambda each: own(each, instances=b"[]"),
    "a list without instances": lambda each: own(each, instances=b"{}"),
    "no report": lambda each: own(each, report=b""),
    "a report that is none": lambda each: own(each, report=b'{"evidence":{}}'),
    "a report of another kind": lambda each: own(each, report=b"[]"),
    "members twice": lambda each: own(each, report=b'{"evidence":[],"evidence":[]}'),
    "an instance listed twice": lambda each: own([each[0], each[0]], lambda _, report: report["evidence"].pop()),
    "evidence of an instance twice": lambda each: own([each[0], each[0]], lambda listing, _: listing["instances"].pop()),
    "an endless key": lambda each: own(each, setting("e2e_pubkey", "A" * 4096)),
    "a key beyond ASCII": lambda each: own(each, setting("e2e_pubkey", "ü")),
    "too many instances": lambda each: own(
        each, instances=json.dumps({"instances": [{"instance_id": str(n), "e2e_pubkey": ""} for n in range(MAX_INSTANCES + 1)]}).encode()
    ),
    "passed on: nonces that differ": lambda each: passed_on(each, lambda report: report["all_attestations"][1].update(nonce="00" * 32)),
    "passed on: an instance twice": lambda each: passed_on([each[0], each[0]]),
    "passed on: no instances": lambda each: passed_on(each, lambda report: report.pop("all_attestations")),
    "passed on: an endless name": lambda each: passed_on(each, lambda report: report["all_attestations"][0].update(instance_id="a" * 65)),
}


@pytest.mark.parametrize("evidence", MALFORMED.values(), ids=MALFORMED)
def test_what_breaks_the_form_is_refused(evidence: Callable[[list[FakeInstance]], Any], instances: list[FakeInstance]) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        read(evidence(instances))
    assert refused.value.check == "chutes.format"


@pytest.mark.parametrize(
    ("member", "value", "attribute", "check"),
    [
        ("e2e_pubkey", "no base64", "public_key", "chutes.key"),
        ("e2e_pubkey", base64.b64encode(bytes(1183)).decode(), "public_key", "chutes.key"),
        ("quote", "00ff", "quote_bytes", None),  # hex is base64, too: what it spells then is no quote
        ("quote", "0x0", "quote_bytes", "chutes.format"),
        ("quote", "ü", "quote_bytes", "chutes.format"),
        ("certificate", "no base64", "report_data", "chutes.format"),
        ("certificate", "AAAA", "report_data", "chutes.format"),
        ("gpu_evidence", [{"certificate": "!", "evidence": "AAAA"}], "devices", "chutes.format"),
        ("gpu_evidence", [{"certificate": "/w==", "evidence": "AAAA"}], "devices", "chutes.format"),
        ("gpu_evidence", [{"certificate": "AAAA", "evidence": "!"}], "devices", "chutes.format"),
        ("gpu_evidence", [{"certificate": "AAAA", "evidence": "AAAA"}] * (MAX_GPUS + 1), "devices", "chutes.format"),
    ],
)
def test_each_part_of_an_instance_is_decoded_when_it_is_looked_at(
    member: str, value: Any, attribute: str, check: str | None, instances: list[FakeInstance]
) -> None:
    first, second = read(own(instances, setting(member, value))).instances
    assert getattr(second, attribute) is not None
    if check is None:
        assert getattr(first, attribute) is not None
        return
    with pytest.raises(EvidenceRefused) as refused:
        getattr(first, attribute)
    assert refused.value.check == check


def test_gpus_are_read_with_their_architecture(instances: list[FakeInstance]) -> None:
    gpu = {"certificate": base64.b64encode(b"PEM").decode(), "evidence": base64.b64encode(b"SPDM").decode(), "arch": "HOPPER"}
    first, _ = read(own(instances, setting("gpu_evidence", [gpu]))).instances
    [device] = first.devices
    assert (first.arch, device.report, device.certificate_chain) == ("HOPPER", b"SPDM", "PEM")
