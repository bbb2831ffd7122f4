"""Evidence in files, put together as one machine."""

import base64
import json
from typing import Any

import pytest

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.client.evidence import Explanations, Gathered, gather
from ollm.errors import ConfigError, EvidenceRefused
from ollm.sim import ccel
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nvidia
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from tests.sim.hardware import NOW, FrozenClock

NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def machine() -> SimulatedMachine:
    return SimulatedMachine(create_pki(NOW), FrozenClock())


@pytest.fixture(scope="module")
def quote(machine: SimulatedMachine) -> bytes:
    return machine.quote(NONCE * 2)


@pytest.fixture(scope="module")
def gpu() -> bytes:
    evidence = nvidia.create(NOW).device().evidence(NONCE)
    item = {"arch": "HOPPER", "evidence": _base64(evidence.report), "certificate": _base64(evidence.certificate_chain.encode())}
    return json.dumps({"nonce": NONCE.hex(), "evidence_list": [item, item]}).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def gathered(*files: bytes, **explained: Any) -> Gathered:
    return gather([(f"file{index}", data) for index, data in enumerate(files)], Explanations(**explained))


def test_a_quote_is_a_machine(quote: bytes) -> None:
    assert gathered(quote).machine.cpu == TdxEvidence(quote=quote)
    assert gathered(quote.hex().encode()).machine.cpu == TdxEvidence(quote=quote)


def test_what_lies_beside_a_quote_explains_it(quote: bytes, machine: SimulatedMachine) -> None:
    cpu = gathered(quote, event_log=machine.event_log_json, app_compose=machine.app_compose).machine.cpu

    assert cpu == TdxEvidence(quote=quote, event_log=machine.event_log_json, app_compose=machine.app_compose)


def test_a_file_of_an_event_log_is_the_firmwares(quote: bytes) -> None:
    log = ccel.encode(())

    cpu = gathered(quote, log).machine.cpu

    assert isinstance(cpu, TdxEvidence)
    assert cpu.ccel == log
    with pytest.raises(ConfigError, match="2 event logs"):
        gathered(quote, log, log)


def test_devices_join_the_machine_with_their_nonce_as_a_hint(quote: bytes, gpu: bytes) -> None:
    found = gathered(gpu, quote)

    assert len(found.machine.devices) == 2
    assert found.nonce_hints == (NONCE,)


def test_devices_alone_and_two_machines_are_refused(quote: bytes, gpu: bytes) -> None:
    for files, count in (((gpu,), 0), ((quote, quote), 2)):
        with pytest.raises(EvidenceRefused, match=rf"machine\.technology: got {count} CPU reports"):
            gathered(*files)


def test_what_is_no_evidence_is_unusable() -> None:
    for data in (b"", b"hello", b"\x00" * 500):
        with pytest.raises(ConfigError, match="file0 holds nothing that is known as evidence"):
            gathered(data)


def test_evidence_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(EvidenceRefused, match=r"evidence\.technology: got Azure's wrapped report"):
        gathered(b"HCLA" + bytes(2000))


def test_a_known_wrapping_around_nothing_is_unusable() -> None:
    empty = json.dumps({"evidence_list": []}).encode()
    with pytest.raises((ConfigError, EvidenceRefused)):
        gathered(empty)


def test_an_explanation_needs_a_quote() -> None:
    report = SnpMachine(create_snp_pki("Genoa", NOW), NOW).report()

    assert isinstance(gathered(report).machine.cpu, SnpEvidence)
    with pytest.raises(ConfigError, match="app_compose explain a TDX quote"):
        gathered(report, app_compose="{}")
