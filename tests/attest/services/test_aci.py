"""An ACI/1 service behind the door of all services: one machine, and what its keyset binds."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ollm.attest.checks import CHANNEL, REPORT
from ollm.attest.evidence import MachineCollateral, TdxEvidence
from ollm.attest.services import aci, door
from ollm.attest.services.evidence import Demand, SealingKey, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.sim.machine import SimulatedMachine
from ollm.values.aci import E2EE_ALGOS, HPKE_ALGO, E2eeKey, Keyset
from ollm.values.policy import AttestationPolicy
from tests.attest.service import HPKE_CONFIG, HPKE_KEY, KEYSET, NONCE, SPKI, evidence, failing, judged, kept, refused_check, service_evidence
from tests.sim.hardware import NOW


def question(machine: SimulatedMachine, policy: AttestationPolicy, fetched: ServiceEvidence | None = None, **demand: Any) -> Question:
    held = kept(machine, **demand)
    return Question(fetched or held.evidence, held.collateral, (), policy, NOW, held.demand)


def without(fetched: ServiceEvidence, role: str) -> ServiceEvidence:
    return msgspec.structs.replace(fetched, documents={name: document for name, document in fetched.documents.items() if name != role})


def test_the_machine_is_the_one_of_the_report(machine: SimulatedMachine) -> None:
    fetched = evidence(machine)
    (found,) = aci.machines(service_evidence(fetched))
    assert found.devices == ()
    assert isinstance(found.cpu, TdxEvidence)
    assert found.cpu.app_compose == machine.app_compose
    assert found.cpu.event_log == machine.event_log_json
    assert found.cpu.vm_config == machine.vm_config


def test_it_is_judged_as_by_the_reader_of_aci_reports(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, bound = aci.appraise(question(machine, policy))
    expected, binding = judged(machine, policy)
    assert (appraisal, bound) == (expected, aci.bound(binding) if binding is not None else None)
    assert appraisal.accepted


def test_what_is_bound(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    _, bound = aci.appraise(question(machine, policy))
    _, binding = judged(machine, policy)
    assert bound is not None
    assert binding is not None
    assert bound.spkis == (SPKI,)
    assert bound.sealing == (SealingKey(cipher="ehbp", algorithm=HPKE_ALGO, public_key=HPKE_KEY, custody="instance"),)
    assert bound.identity == {"keyset_digest": KEYSET.digest(), "quote_identity": binding.quote_identity}
    assert (bound.keyset, bound.keyset_digest, bound.signer, bound.channel_custody) == (KEYSET, KEYSET.digest(), None, "instance")


@pytest.mark.parametrize("channel", [True, False])
@pytest.mark.parametrize("seal", [True, False])
def test_no_more_is_bound_than_was_demanded_and_proven(machine: SimulatedMachine, policy: AttestationPolicy, channel: bool, seal: bool) -> None:
    fetched = service_evidence(evidence(machine))
    if not seal:
        fetched = without(fetched, "hpke_keys")
    if not channel:
        fetched = msgspec.structs.replace(fetched, peer_spki_sha256=None)
    appraisal, bound = aci.appraise(question(machine, policy, fetched, seal=seal, channel=channel))
    assert appraisal.accepted
    assert bound is not None
    assert (len(bound.spkis), len(bound.sealing)) == (channel, seal)
    made = {check.name for check in appraisal.checks}
    assert ("channel.spki" in made, "channel.hpke_key" in made) == (channel, seal)


def test_what_was_demanded_and_is_not_there_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = service_evidence(evidence(machine))
    for lacking, check in (
        (without(fetched, "hpke_keys"), "channel.hpke_key"),
        (msgspec.structs.replace(fetched, peer_spki_sha256=None), "channel.spki"),
    ):
        appraisal, bound = aci.appraise(question(machine, policy, lacking))
        assert (failing(appraisal), bound) == (check, None)


def test_without_a_report_there_is_nothing_to_read(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = without(service_evidence(evidence(machine)), "report")
    for call in (lambda: aci.machines(fetched), lambda: aci.aci_evidence(fetched), lambda: aci.appraise(question(machine, policy, fetched))):
        assert refused_check(call) == "report.format"


def test_the_roles_of_documents_are_the_adapters(machine: SimulatedMachine) -> None:
    assert (aci.REPORT, aci.HPKE_KEYS) == ("report", "hpke_keys")
    fetched = evidence(machine)
    assert aci.aci_evidence(service_evidence(fetched)) == fetched
    assert service_evidence(fetched).documents == {"report": fetched.report, "hpke_keys": HPKE_CONFIG}


@pytest.mark.parametrize("collateral", [(), (MachineCollateral(cpu=None),)], ids=["none", "of another kind"])
def test_collateral_must_be_for_such_a_machine(
    machine: SimulatedMachine, policy: AttestationPolicy, collateral: tuple[MachineCollateral, ...]
) -> None:
    asked = question(machine, policy)._replace(collateral=collateral)

    def appraise() -> Verdict:
        return aci.appraise(asked)

    assert refused_check(appraise) == "machine.collateral"


def test_the_nonce_is_ours(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = msgspec.structs.replace(service_evidence(evidence(machine)), nonce="00" * 32)
    assert fetched.nonce != NONCE
    appraisal, bound = aci.appraise(question(machine, policy, fetched))
    assert (failing(appraisal), bound) == ("binding.report_data", None)


def test_the_host_decides_nothing(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = service_evidence(evidence(machine))
    verdicts = [aci.appraise(question(machine, policy, msgspec.structs.replace(fetched, host=host))) for host in ("", "localhost", "near.example")]
    assert verdicts[0] == verdicts[1] == verdicts[2] == aci.appraise(question(machine, policy))
    assert Demand(shapes=("aci",)) == kept(machine).demand


# ACI's own field encryption

E2EE_KEYSET = msgspec.structs.replace(KEYSET, e2ee_public_keys=(*KEYSET.e2ee_public_keys, E2eeKey("e2ee-1", E2EE_ALGOS[0], "11" * 32)))


def own(machine: SimulatedMachine, policy: AttestationPolicy, keyset: Keyset = E2EE_KEYSET) -> Question:
    """A route that demands a key for it."""
    asked = question(machine, policy, without(service_evidence(evidence(machine, keyset)), "hpke_keys"))
    return asked._replace(demand=Demand(shapes=("aci",), cipher="aci-e2ee-v2"))


def test_a_route_that_demands_another_cipher_gets_its_key_and_no_other(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, bound = aci.appraise(own(machine, policy))
    assert appraisal.accepted
    assert bound is not None
    assert bound.sealing == (SealingKey(cipher="aci-e2ee-v2", algorithm=E2EE_ALGOS[0], public_key=b"\x11" * 32, custody="app_kms"),)
    made = [check.name for check in appraisal.checks]
    assert "channel.field_key" in made and "channel.hpke_key" not in made


def test_no_other_key_takes_its_place(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, bound = aci.appraise(own(machine, policy, KEYSET))
    assert (failing(appraisal), bound) == ("channel.field_key", None)


def test_where_nothing_is_sealed_the_cipher_does_not_matter(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    asked = own(machine, policy, KEYSET)._replace(demand=Demand(shapes=("aci",), seal=False, cipher="aci-e2ee-v2"))
    appraisal, bound = aci.appraise(asked)
    assert appraisal.accepted
    assert bound is not None
    assert bound.sealing == ()


def test_a_service_that_gets_its_keys_from_elsewhere_is_refused_where_the_policy_wants_the_machines_own(
    machine: SimulatedMachine, policy: AttestationPolicy
) -> None:
    strict = msgspec.structs.replace(policy, service=msgspec.structs.replace(policy.service, custody=("instance",)))
    assert failing(door.appraise(own(machine, strict))[0]) == "key.custody"
    assert door.appraise(own(machine, policy))[0].accepted


def test_the_page_has_every_check_of_an_aci_service_and_says_the_same_of_it() -> None:
    page = (Path(__file__).parents[3] / "docs/providers/aci.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \| ([^|]+) \|$", page, re.MULTILINE))
    assert rows == {name: proof.proves for name, proof in {**REPORT, **CHANNEL}.items()}
