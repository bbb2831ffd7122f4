"""The steps of a TDX machine, without any provider's report around it: what each field of the policy asks, on minted evidence."""

import base64
import datetime
import hashlib
import json
from collections.abc import Callable

import msgspec
import pytest

from ollm.attest.checks import Trail
from ollm.attest.dstack.keccak import keccak_256
from ollm.attest.evidence import TdxCollateral, TdxEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.tdx import appraise
from ollm.attest.tdx.appraise import Software
from ollm.errors import EvidenceRefused
from ollm.sim import eventlog
from ollm.sim.broken import REJECTED_ADVISORY
from ollm.sim.collateral import OUTDATED_ADVISORY, Endorsement, SimulatedPcs
from ollm.sim.machine import SimulatedMachine, platform_identity
from ollm.sim.pki import DAY, Authority
from ollm.sim.quote import TD_1_0, TdReport
from ollm.values.policy import AttestationPolicy, Grace, TdxReferenceValues
from tests.attest.service import refused_check
from tests.sim.hardware import NOW, REPORT_DATA

ISSUED, ENDS = NOW - 300, NOW - 300 + 30 * DAY  # of everything that the simulated service signs
UNTIL = datetime.date(2027, 1, 20)  # NOW is 2027-01-15T08:00:00Z
GRACE_ENDS = int(datetime.datetime(2027, 1, 20, tzinfo=datetime.UTC).timestamp())


def evidence(machine: SimulatedMachine, **members: object) -> TdxEvidence:
    explained = TdxEvidence(
        quote=machine.quote(REPORT_DATA),
        event_log=machine.event_log_json,
        app_compose=machine.app_compose,
        ccel=machine.ccel,
        vm_config=machine.vm_config,
    )
    return msgspec.structs.replace(explained, **members)


def measured(machine: SimulatedMachine, events: tuple[eventlog.Event, ...], **state: bytes) -> TdxEvidence:
    """Evidence of `machine` had it measured `events`, with `state` besides."""
    report = msgspec.structs.replace(machine.measured(events), **state)
    return evidence(machine, quote=machine.quote_report(report), event_log=eventlog.encode(events))


def judged(
    machine: SimulatedMachine, policy: AttestationPolicy, *, now: int = NOW, of: TdxEvidence | None = None, under: TdxCollateral | None = None
) -> tuple[CpuFacts, Software]:
    """Facts and software of a machine that passes every check of its plan."""
    trail, explained = Trail((*appraise.plan(policy.tdx, compare=False), *appraise.software_plan(policy))), of or evidence(machine)
    quote, facts = appraise.genuine_quote(trail, explained.quote, under or machine.collateral(), policy.tdx, now)
    software = appraise.wanted_software(trail, quote, explained, policy)
    trail.completed()
    return facts, software


def asking(policy: AttestationPolicy, **members: object) -> AttestationPolicy:
    """`policy` with other members of its TDX table."""
    return msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, **members))


def listing(policy: AttestationPolicy, **members: object) -> AttestationPolicy:
    """`policy` with other members of its reference values."""
    return asking(policy, reference_values=tuple(msgspec.structs.replace(values, **members) for values in policy.tdx.reference_values))


def refused(check: str, match: str | None = None) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == check)


def said(machine: SimulatedMachine, **members: object) -> TdxCollateral:
    """The collateral, had the service said something else."""
    return SimulatedPcs(machine.pki, machine.clock, Endorsement(**members)).collateral()  # type: ignore[arg-type]


# The way through


def test_a_machine_in_order_gives_its_facts_and_its_software(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    facts, software = judged(machine, policy)

    assert facts.report_data == REPORT_DATA
    assert facts.hardware_id == machine.platform.ppid.hex()
    assert (facts.valid_until, facts.warnings) == (ENDS, ())
    assert software.matching == policy.tdx.reference_values
    assert software.accepting is policy.tdx.reference_values[0]
    assert software.compose_hash == machine.compose_hash.hex()
    assert software.runtime[0].name == "system-preparing"
    assert software.facts == {"app_id": machine.app_id.hex()}


def test_the_plan_is_what_the_policy_asks(policy: AttestationPolicy) -> None:
    strict = asking(policy, platforms=(), require_firmware_log=True)

    assert set(appraise.plan(policy.tdx)) - set(appraise.plan(policy.tdx, compare=False)) == {"measurement.reference_values"}
    assert set(appraise.plan(strict.tdx)) - set(appraise.plan(policy.tdx)) == {"platform.listed"}
    assert set(appraise.software_plan(strict)) - set(appraise.software_plan(policy)) == {"firmware_log.format", "firmware_log.replay"}
    bare = msgspec.structs.replace(policy, require_event_log=False, require_compose=False)
    assert appraise.software_plan(bare) == ("measurement.reference_values",)
    assert appraise.software_plan(listing(bare, os_image_hashes=())) == ("event_log.format", "event_log.replay", "measurement.reference_values")


@pytest.mark.parametrize(("missing", "check"), [("event_log", "event_log.format"), ("app_compose", "compose.hash"), ("ccel", "firmware_log.format")])
def test_what_is_absent_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, missing: str, check: str) -> None:
    with refused(check, "got no "):
        judged(machine, asking(policy, require_firmware_log=True), of=evidence(machine, **{missing: None}))


@pytest.mark.parametrize("body", [2, 3])
def test_version_5_comes_with_either_report(machine: SimulatedMachine, policy: AttestationPolicy, body: int) -> None:
    quote = machine.quote_report(machine.td_report, version=5, body=body)

    facts, _ = judged(machine, policy, of=evidence(machine, quote=quote))

    assert ("tee_tcb_svn_2" in facts.facts) == ("current_tcb_status" in facts.facts) == (body != TD_1_0)


def test_a_module_that_was_updated_under_the_machine_is_told(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    newer = bytes([machine.td_report.tee_tcb_svn[0] + 1]) + machine.td_report.tee_tcb_svn[1:]

    facts, _ = judged(machine, policy, of=evidence(machine, quote=machine.quote_report(machine.td_report, version=5, tee_tcb_svn_2=newer)))

    assert facts.facts["tee_tcb_svn_2"] == newer.hex()


@pytest.mark.parametrize(
    "written",
    [
        lambda quote: quote.hex().encode(),
        lambda quote: base64.b64encode(quote),
        lambda quote: b"\x00" + quote,
        lambda quote: quote + quote,
    ],
    ids=["hex", "base64", "shifted", "twice"],
)
def test_a_quote_in_another_encoding_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, written: Callable[[bytes], bytes]) -> None:
    with refused("quote.format"):
        judged(machine, policy, of=evidence(machine, quote=written(machine.quote(REPORT_DATA))))


# TCB, grace, advisories, machines


@pytest.fixture(scope="module")
def outdated(machine: SimulatedMachine) -> SimulatedMachine:
    platform = platform_identity(machine.name, cpu_svn=bytes.fromhex("0808020204010003" + "00" * 8), pce_svn=11)
    return SimulatedMachine(machine.pki, machine.clock, platform=platform)


@pytest.fixture
def tolerant(policy: AttestationPolicy) -> AttestationPolicy:
    return asking(policy, grace=(Grace(status="OutOfDate", until=UNTIL, reason="the provider updates in January"),))


def test_an_outdated_platform_is_accepted_in_its_grace_and_people_are_told(outdated: SimulatedMachine, tolerant: AttestationPolicy) -> None:
    facts, _ = judged(outdated, tolerant)

    assert facts.warnings == (f"TCB status OutOfDate ({OUTDATED_ADVISORY}) is accepted until 2027-01-20: the provider updates in January",)
    assert facts.valid_until == GRACE_ENDS < ENDS
    assert facts.facts["tcb_status"] == "OutOfDate"
    assert facts.facts["tcb_date"] == "2025-05-14T00:00:00Z"


def test_grace_does_not_outlive_what_else_ends(outdated: SimulatedMachine, policy: AttestationPolicy) -> None:
    long = asking(policy, grace=(Grace(status="OutOfDate", until=datetime.date(2030, 1, 1), reason="patience"),))

    assert judged(outdated, long)[0].valid_until == ENDS


def test_grace_ends_to_the_second(outdated: SimulatedMachine, tolerant: AttestationPolicy) -> None:
    assert judged(outdated, tolerant, now=GRACE_ENDS - 1)[0].warnings
    with refused("tcb.status", r"got OutOfDate \(SIMULATED-SA-00001\), whose grace ended on 2027-01-20, want UpToDate"):
        judged(outdated, tolerant, now=GRACE_ENDS)


def test_a_rejected_advisory_is_rejected_in_grace_too(outdated: SimulatedMachine, tolerant: AttestationPolicy) -> None:
    with refused("tcb.advisories", f"got {OUTDATED_ADVISORY}"):
        judged(outdated, asking(tolerant, rejected_advisories=(REJECTED_ADVISORY, OUTDATED_ADVISORY)))


def test_grace_of_a_status_is_not_grace_of_a_floor(outdated: SimulatedMachine, tolerant: AttestationPolicy) -> None:
    with refused("tcb.evaluation_number"):
        judged(outdated, asking(tolerant, min_tcb_evaluation_data_number=21))


def test_a_revoked_platform_has_no_grace(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    patient = asking(
        policy, accepted_tcb_status=("Revoked",), grace=(Grace(status="Revoked", until=datetime.date(2030, 1, 1), reason="none can be given"),)
    )
    with refused("tcb.status", "Revoked"):
        judged(machine, patient, under=said(machine, status="Revoked"))


@pytest.mark.parametrize("part", ["status", "qe_status", "module_status"])
def test_the_worst_of_platform_enclave_and_module_counts(machine: SimulatedMachine, policy: AttestationPolicy, part: str) -> None:
    collateral = said(machine, **{part: "OutOfDate"})

    with refused("tcb.status", "got OutOfDate"):
        judged(machine, policy, under=collateral)
    told = judged(machine, asking(policy, accepted_tcb_status=("OutOfDate",)), under=collateral)[0]
    assert told.facts["qe_tcb_status"] == ("OutOfDate" if part == "qe_status" else "UpToDate")
    assert told.facts["tdx_module_tcb_status"] == ("OutOfDate" if part == "module_status" else "UpToDate")
    assert told.warnings == ("TCB status OutOfDate is accepted by the policy",)


def test_a_status_that_intel_may_yet_invent_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    with pytest.raises(EvidenceRefused):
        judged(machine, asking(policy, accepted_tcb_status=("Fine",)), under=said(machine, status="Fine"))


def test_a_quoting_enclave_older_than_every_level_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    with pytest.raises(EvidenceRefused):
        judged(machine, policy, under=said(machine, qe_min_isv_svn=7))


def test_only_machines_on_the_list_are_accepted(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    ppid = machine.platform.ppid.hex()

    assert judged(machine, asking(policy, platforms=("00" * 16, ppid)))[0].hardware_id == ppid
    for platforms in ((), ("00" * 16,)):
        with refused("platform.listed", f"got PPID {ppid}"):
            judged(machine, asking(policy, platforms=platforms))


# Collateral, to the second


def crls(machine: SimulatedMachine, issuer: Authority, member: str, *, issued: int = ISSUED, expires: int = ENDS) -> TdxCollateral:
    der = machine.pki.crl(issuer, issued=issued, expires=expires)
    return msgspec.structs.replace(machine.collateral(), **{member: der})


@pytest.mark.parametrize("member", ["root_ca_crl", "pck_crl"])
def test_each_revocation_list_holds_from_its_first_second_to_its_last(machine: SimulatedMachine, policy: AttestationPolicy, member: str) -> None:
    issuer = machine.pki.root if member == "root_ca_crl" else machine.pki.platform_ca
    name = {"root_ca_crl": "root CRL", "pck_crl": "PCK CRL"}[member]

    assert judged(machine, policy, under=crls(machine, issuer, member, issued=NOW))
    assert judged(machine, policy, under=crls(machine, issuer, member, expires=NOW + 1))[0].valid_until == NOW + 1
    with refused("collateral.validity", f"{name} valid from"):
        judged(machine, policy, under=crls(machine, issuer, member, issued=NOW + 1))
    with refused("collateral.validity", f"{name} valid until"):
        judged(machine, policy, under=crls(machine, issuer, member, expires=NOW))


def test_collateral_is_refused_one_second_after_its_next_update(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    collateral = machine.collateral()

    assert judged(machine, policy, now=ENDS - 1, under=collateral)
    assert judged(machine, policy, now=ISSUED, under=collateral)
    for now in (ENDS, ENDS + 1, ISSUED - 1):
        with refused("collateral.validity"):
            judged(machine, policy, now=now, under=collateral)


# Measurements


@pytest.mark.parametrize("register", ["rtmr3", "mr_config_id", "mr_owner", "mr_owner_config"])
def test_registers_beyond_the_boot_can_be_pinned_too(machine: SimulatedMachine, policy: AttestationPolicy, register: str) -> None:
    value = getattr(machine.td_report, register).hex()

    assert judged(machine, listing(policy, **{register: value}))
    with refused("measurement.reference_values", register.replace("_", "").upper()):
        judged(machine, listing(policy, **{register: "ab" * 48}))


IMAGE, DEV_IMAGE = b"\x1a" * 32, b"\xde" * 32


def booted(machine: SimulatedMachine, *payloads: bytes, late: bool = False) -> TdxEvidence:
    """A machine whose key service told it which image it runs, before the system was ready or (`late`) somebody after that."""
    images = tuple(eventlog.runtime_event("os-image-hash", payload) for payload in payloads)
    ready = len(machine.events) - 1
    return measured(machine, machine.events[:ready] + (() if late else images) + machine.events[ready:] + (images if late else ()))


def test_only_listed_images_are_accepted(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    production = listing(policy, os_image_hashes=(IMAGE.hex(),))

    assert judged(machine, production, of=booted(machine, IMAGE))[1].facts["os_image_hash"] == IMAGE.hex()
    for of in (booted(machine, DEV_IMAGE), booted(machine), booted(machine, IMAGE, late=True), booted(machine, DEV_IMAGE, IMAGE)):
        with refused("measurement.reference_values", "OS image"):
            judged(machine, production, of=of)


def test_an_image_is_proven_by_the_log_even_where_nothing_else_asks_for_it(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    lenient = msgspec.structs.replace(listing(policy, os_image_hashes=(IMAGE.hex(),)), require_event_log=False, require_compose=False)

    assert judged(machine, lenient, of=booted(machine, IMAGE))
    with refused("event_log.format"):
        judged(machine, lenient, of=evidence(machine, event_log=None))


def test_a_firmware_log_that_is_asked_for_must_replay(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    asked = asking(policy, require_firmware_log=True)

    assert judged(machine, asked)[1].facts["secure_boot"] == "on"
    with refused("firmware_log.format"):
        judged(machine, asked, of=evidence(machine, ccel=b""))
    with refused("firmware_log.replay", "RTMR0"):
        judged(machine, asked, of=evidence(machine, ccel=SimulatedMachine(machine.pki, machine.clock, build="another").ccel))


def test_a_firmware_log_that_nobody_asked_for_is_not_read(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    assert "secure_boot" not in judged(machine, policy, of=evidence(machine, ccel=b"anything"))[1].facts


# MRCONFIGID


def with_config_id(machine: SimulatedMachine, value: bytes, **members: object) -> TdxEvidence:
    state: TdReport = msgspec.structs.replace(machine.td_report, mr_config_id=value)
    return evidence(machine, quote=machine.quote_report(state), **members)


def test_the_second_form_of_mrconfigid_is_checked_against_the_log(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    digest = keccak_256(machine.compose_hash + machine.app_id + b"\x00")

    assert judged(machine, policy, of=with_config_id(machine, b"\x02" + digest + bytes(15)))
    with refused("compose.mr_config_id"):
        judged(machine, policy, of=with_config_id(machine, b"\x02" + bytes(47)))


def test_the_third_form_of_mrconfigid_is_checked_with_its_document(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    document = json.dumps({"compose_hash": machine.compose_hash.hex(), "key_provider": "none", "version": 3})
    value = b"\x03" + hashlib.sha256(b"dstack-mr-config-v3:\x00" + document.encode()).digest() + bytes(15)

    assert judged(machine, policy, of=with_config_id(machine, value, vm_config=json.dumps({"mr_config": document})))
    for vm_config in (None, machine.vm_config):
        with refused("compose.mr_config_id", "without its document"):
            judged(machine, policy, of=with_config_id(machine, value, vm_config=vm_config))


# The log


def test_a_runtime_event_of_the_second_version_is_accepted(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    document = json.dumps({"name": "app:note", "payload": "ab", "type": 0x08000001}, separators=(",", ":"))
    digest = hashlib.sha384(document.encode()).digest()
    rtmr3 = hashlib.sha384(machine.td_report.rtmr3 + digest).digest()
    entry = {"imr": 3, "event_type": 0x08000001, "digest": "", "event": "app:note", "event_payload": "ab", "version": 2}
    log = json.dumps([*json.loads(machine.event_log_json), entry | {"preimage": document.encode().hex()}])
    quote = machine.quote_report(msgspec.structs.replace(machine.td_report, rtmr3=rtmr3))

    assert judged(machine, policy, of=evidence(machine, quote=quote, event_log=log))[1].runtime[-1].name == "app:note"


def test_a_log_of_ten_megabytes_is_refused_before_it_is_read(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    log = machine.event_log_json[:-1] + " " * (10 * 1024 * 1024) + "]"

    assert refused_check(lambda: judged(machine, policy, of=evidence(machine, event_log=log))) == "event_log.format"


def test_reference_values_of_another_build_are_not_completed_by_those_of_this(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    """The compose file must be listed in the very set that the registers equal."""
    own, foreign = policy.tdx.reference_values[0], SimulatedMachine(machine.pki, machine.clock, build="another")
    there = TdxReferenceValues(
        name="another", source="test", mrtd=foreign.td_report.mrtd.hex(), rtmr0=foreign.td_report.rtmr0.hex(), compose_hashes=own.compose_hashes
    )
    here = msgspec.structs.replace(own, compose_hashes=("00" * 32,))

    with refused("compose.accepted"):
        judged(machine, asking(policy, reference_values=(there, here)))
