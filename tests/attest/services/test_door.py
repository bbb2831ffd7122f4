"""The door of all services: a report gets the reader of its shape, or none."""

import json
from typing import Any, get_args

import msgspec
import pytest

from ollm.attest.services import door
from ollm.attest.services.evidence import Bound, Demand, SealingKey, ServiceEvidence, Shape
from ollm.attest.services.question import Question, Verdict
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.policy import AttestationPolicy
from tests.attest.service import SPKI, evidence, failing, kept, refused_check, service_evidence
from tests.sim.hardware import NOW

ACI = Demand(shapes=("aci",))
SEVERAL = Demand(shapes=("dstack", "aci"))
OTHER = Demand(shapes=("chutes", "dstack"))
FOREIGN = {"attestation_type": "chutes"}


def question(machine: SimulatedMachine, policy: AttestationPolicy, demand: Demand, fetched: ServiceEvidence | None = None) -> Question:
    held = kept(machine)
    return Question(fetched or held.evidence, held.collateral, (), policy, NOW, demand)


def saying(fetched: ServiceEvidence, document: Any) -> ServiceEvidence:
    return msgspec.structs.replace(fetched, documents={"report": document if isinstance(document, bytes) else json.dumps(document).encode()})


@pytest.mark.parametrize("demand", [ACI, SEVERAL], ids=["alone", "among others"])
def test_a_report_of_a_shape_that_was_asked_for_gets_its_reader(machine: SimulatedMachine, policy: AttestationPolicy, demand: Demand) -> None:
    appraisal, bound = door.appraise(question(machine, policy, demand))
    assert appraisal.accepted
    assert bound is not None
    assert len(door.machines(service_evidence(evidence(machine)), demand)) == 1


def test_a_shape_that_was_not_asked_for_is_refused_however_good_it_is(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, bound = door.appraise(question(machine, policy, OTHER))
    assert bound is None
    assert appraisal.checks == (Check("report.shape", Outcome.FAILED, "aci", "chutes or dstack"),)
    assert refused_check(lambda: door.machines(service_evidence(evidence(machine)), OTHER)) == "report.shape"


def test_a_shape_that_is_not_known_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = saying(service_evidence(evidence(machine)), {"quote": "04"})
    appraisal, _ = door.appraise(question(machine, policy, SEVERAL, fetched))
    assert appraisal.failure == Check("report.shape", Outcome.FAILED, "a report of no known shape", "dstack or aci")


def test_a_shape_without_a_reader_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(door.READERS, "aci")
    assert failing(door.appraise(question(machine, policy, SEVERAL))[0]) == "report.shape"


@pytest.mark.parametrize(
    ("document", "check"),
    [({}, "report.version"), (FOREIGN, "report.version"), ([], "report.format"), (b"{", "report.format"), (b"", "report.format")],
)
def test_where_only_aci_may_come_its_reader_says_what_is_wrong(
    machine: SimulatedMachine, policy: AttestationPolicy, document: Any, check: str
) -> None:
    fetched = saying(service_evidence(evidence(machine)), document)
    appraisal, bound = door.appraise(question(machine, policy, ACI, fetched))
    assert (failing(appraisal), bound) == (check, None)
    assert refused_check(lambda: door.machines(fetched, ACI)) == check
    assert Outcome.NOT_REACHED in {each.outcome for each in appraisal.checks}, "what was not reached is said too"


def test_what_never_came_is_a_refusal_with_its_one_check(policy: AttestationPolicy) -> None:
    refusal = EvidenceRefused("evidence.fetch", "no answer", "one")
    alone, several = door.refused(policy, refusal, ACI), door.refused(policy, refusal, SEVERAL)
    assert alone.failure == several.failure == Check("evidence.fetch", Outcome.FAILED, "no answer", "one")
    assert len(alone.checks) > len(several.checks) == 1
    assert (several.policy, several.level, several.accepted) == (policy.name, policy.level, False)


def test_nothing_is_bound_without_acceptance(machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a reader says."""

    def careless(asked: Question) -> Verdict:
        return Appraisal(asked.policy.name, asked.policy.level, ()), Bound(spkis=())

    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=careless))
    appraisal, bound = door.appraise(question(machine, policy, ACI))
    assert (appraisal.accepted, bound) == (False, None)


def test_a_reader_that_refuses_before_it_judges_is_a_refusal(
    machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(asked: Question) -> Verdict:
        raise EvidenceRefused("machine.collateral", "none", "one")

    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=refusing))
    for demand in (ACI, SEVERAL):
        appraisal, bound = door.appraise(question(machine, policy, demand))
        assert (failing(appraisal), bound) == ("machine.collateral", None)


CUSTODIES: list[tuple[str, str, bool]] = [  # of the sealing key, if any; of the channel; accepted
    ("instance", "unknown", True),  # what is sealed is for the sealing key's holder alone, whoever holds the channel's
    ("app_kms", "instance", True),
    ("unknown", "instance", False),
    ("", "instance", True),
    ("", "unknown", False),
]


@pytest.mark.parametrize("demand", [ACI, SEVERAL], ids=["alone", "among others"])
@pytest.mark.parametrize("custody", CUSTODIES)
def test_keys_are_held_by_those_whom_the_policy_accepts(
    machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch, demand: Demand, custody: tuple[Any, Any, bool]
) -> None:
    sealing, channel, good = custody
    real = door.READERS["aci"].appraise
    keys = (SealingKey(cipher="ehbp", algorithm="x25519", public_key=b"", custody=sealing),) if sealing else ()

    def reading(asked: Question) -> Verdict:
        return real(asked)[0], Bound(spkis=(SPKI,), channel_custody=channel, sealing=keys)

    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=reading))
    appraisal, bound = door.appraise(question(machine, policy, msgspec.structs.replace(demand, seal=bool(sealing))))
    assert (appraisal.accepted, bound is not None) == (good, good)
    assert failing(appraisal) == (None if good else "key.custody")
    assert (appraisal.valid_until > NOW) is good


@pytest.mark.parametrize("custody", ["instance", "app_kms"])
@pytest.mark.parametrize("accepted", [False, True])
def test_a_key_of_several_machines_needs_an_attested_connection_or_the_policys_word(
    machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch, custody: Any, accepted: bool
) -> None:
    real = door.READERS["aci"].appraise
    keys = (SealingKey(cipher="ehbp", algorithm="x25519", public_key=b"", custody=custody),)
    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=lambda asked: (real(asked)[0], Bound(spkis=(), sealing=keys))))
    chosen = msgspec.structs.replace(policy, service=msgspec.structs.replace(policy.service, sealed_to_application=accepted))
    appraisal, _ = door.appraise(question(machine, chosen, msgspec.structs.replace(SEVERAL, channel=False)))
    if custody == "instance" or accepted:
        assert appraisal.accepted
    else:
        got, want = "app_kms, over a connection that nothing attests", "an attested connection, or service.sealed_to_application"
        assert appraisal.failure == Check("key.custody", Outcome.FAILED, got, want)


def test_a_policy_may_accept_any_holder_or_only_the_machine_itself(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    def under(*custody: Any) -> Appraisal:
        service = msgspec.structs.replace(policy.service, custody=custody)
        return door.appraise(question(machine, msgspec.structs.replace(policy, service=service), SEVERAL))[0]

    assert under("instance").accepted
    assert under().failure == Check("key.custody", Outcome.FAILED, "instance", "none")
    assert under("app_kms", "unknown").failure == Check("key.custody", Outcome.FAILED, "instance", "app_kms or unknown")


def test_every_reader_is_of_a_shape() -> None:
    assert set(door.READERS) <= set(get_args(Shape))


@pytest.mark.parametrize(
    ("demand", "spkis", "check"),
    [
        (Demand(shapes=("dstack", "aci"), seal=False), (SPKI,), None),
        (Demand(shapes=("dstack", "aci"), seal=False), (), "channel.spki"),
        (Demand(shapes=("dstack", "aci"), seal=False), ("00" * 32,), "channel.spki"),
        (Demand(shapes=("dstack", "aci")), (SPKI,), "key.custody"),
        (Demand(shapes=("dstack", "aci"), seal=False, channel=False), (), None),
    ],
    ids=["bound", "no channel", "another channel", "no key to seal to", "neither demanded"],
)
def test_what_the_route_demands_is_bound_whatever_a_reader_forgets(
    machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch, demand: Demand, spkis: tuple[Any, ...], check: str | None
) -> None:
    """Otherwise the connection that the evidence came over would carry prompts, wherever it ends."""
    accepted, _ = door.appraise(question(machine, policy, ACI))
    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=lambda asked: (accepted, Bound(spkis=spkis))))
    appraisal, bound = door.appraise(question(machine, policy, demand))
    assert (failing(appraisal), bound is not None) == (check, check is None)


def test_no_peer_is_no_channel(machine: SimulatedMachine, policy: AttestationPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted, bound = door.appraise(question(machine, policy, ACI))
    monkeypatch.setitem(door.READERS, "aci", door.READERS["aci"]._replace(appraise=lambda asked: (accepted, bound)))
    asked = question(machine, policy, SEVERAL)
    appraisal, _ = door.appraise(asked._replace(evidence=msgspec.structs.replace(asked.evidence, peer_spki_sha256=None)))
    assert failing(appraisal) == "channel.spki"
