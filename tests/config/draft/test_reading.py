"""Files of evidence become sources, one for each part of a machine."""

import base64
import json

import pytest

from ollm.attest.evidence import NvidiaEvidence, SnpEvidence, TdxEvidence
from ollm.config.draft.reading import explained, sources_of
from ollm.errors import ConfigError
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint import nvidia
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from ollm.values.hexes import sha256_of
from tests.sim.hardware import NOW, REPORT_DATA, aci_evidence


def test_bytes_and_their_hex() -> None:
    report = SnpMachine(create_pki("Genoa", NOW), NOW).report()
    for data in (report, report.hex().encode() + b"\n"):
        (source,) = sources_of("report.bin", data)
        assert source.evidence == SnpEvidence(report=report)
        assert f"sha256:{source.sha256}" == sha256_of(data)


def test_a_report_with_its_log_and_compose_file(machine: SimulatedMachine) -> None:
    (source,) = sources_of("report.json", aci_evidence(machine).report)
    assert isinstance(source.evidence, TdxEvidence)
    assert (source.evidence.event_log, source.evidence.app_compose) == (machine.event_log_json, machine.app_compose)


def test_a_machine_with_its_gpus_is_several_sources(machine: SimulatedMachine) -> None:
    device = nvidia.create(NOW).device().evidence(bytes(32))
    gpu = {"evidence": base64.b64encode(device.report).decode(), "certificate": base64.b64encode(device.certificate_chain.encode()).decode()}
    document = {"intel_quote": machine.quote(REPORT_DATA).hex(), "nvidia_payload": {"arch": "HOPPER", "nonce": "00" * 32, "evidence_list": [gpu]}}
    cpu, part = sources_of("machine.json", json.dumps(document).encode())
    assert isinstance(cpu.evidence, TdxEvidence)
    assert isinstance(part.evidence, NvidiaEvidence)
    assert cpu.cited == part.cited


@pytest.mark.parametrize(("data", "kind"), [(b"", "nothing that is known"), (b"HCLA" + bytes(64), "Azure's wrapped report (HCL)")])
def test_anything_else_is_told_for_what_it_is(data: bytes, kind: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        sources_of("x.bin", data)
    assert refusal.value.cause == f"x.bin holds {kind}, from which no policy can be drafted"


def test_what_lay_beside_a_quote_goes_to_it(machine: SimulatedMachine) -> None:
    report = SnpMachine(create_pki("Genoa", NOW), NOW).report()
    sources = (*sources_of("report.bin", report), *sources_of("quote.bin", machine.quote(REPORT_DATA)))
    other, quote = explained(sources, event_log=machine.event_log_json, app_compose=None)
    assert isinstance(quote.evidence, TdxEvidence)
    assert (quote.evidence.event_log, quote.evidence.app_compose) == (machine.event_log_json, None)
    assert other == sources[0]
    assert explained(sources, event_log=None, app_compose=None) == sources


@pytest.mark.parametrize("quotes", [0, 2])
def test_one_log_is_of_one_quote(machine: SimulatedMachine, quotes: int) -> None:
    sources = [source for _ in range(quotes) for source in sources_of("quote.bin", machine.quote(REPORT_DATA))]
    with pytest.raises(ConfigError, match=f"{quotes} TDX quotes, and one event log"):
        explained(sources, event_log="[]", app_compose=None)
