"""The one door: what is in order is accepted with its facts, and each defect is refused by the check that is about it."""

import base64
import datetime
import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ollm.attest.appraise import appraise, appraise_quote, needed_collateral, refused
from ollm.attest.checks import CHECKS
from ollm.attest.evidence import CollateralNeed
from ollm.attest.tdx.appraise import plan as tdx_plan
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim.breaks import BREAKS
from ollm.sim.broken import BrokenMachine
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import Check, Outcome
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, Grace, NvidiaPolicy, TdxPolicy
from ollm.values.provenance import ProvenancePolicy
from tests.attest.service import HPKE_KEY, KEYSET, NONCE, SPKI, evidence, failing, judged, report
from tests.sim.hardware import NOW


def test_a_service_in_order_is_accepted_and_bound(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, binding = judged(machine, policy)

    assert appraisal.accepted
    assert appraisal.level is Level.SIMULATED
    assert binding is not None
    assert binding.keyset == KEYSET
    assert binding.keyset_digest == KEYSET.digest()
    assert binding.spki_sha256 == SPKI
    assert binding.hpke_public_key == HPKE_KEY
    quote = bytes.fromhex(report(machine)["attestation"]["evidence"]["quote"])
    assert binding.quote_identity == parse_quote(quote).identity
    assert appraisal.valid_until == KEYSET.not_after  # ends before any collateral


def test_every_check_of_the_table_was_made_in_its_order(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    ppid = machine.platform.ppid.hex()
    listed = msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, platforms=(ppid,)))

    appraisal, _ = judged(machine, listed)

    elsewhere = {"evidence.fetch", "firmware_log.format", "firmware_log.replay"}  # before appraisal; not carried by a report
    elsewhere |= {"channel.field_key"}  # in place of channel.hpke_key, where a route seals field by field
    assert [check.name for check in appraisal.checks] == [name for name in CHECKS if name not in elsewhere]


def test_collateral_that_ends_before_the_keyset_ends_the_acceptance(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    keyset = msgspec.structs.replace(KEYSET, not_after=NOW + 89 * 86_400)

    appraisal, _ = judged(machine, policy, evidence(machine, keyset))

    assert appraisal.valid_until == NOW - 300 + 30 * 86_400  # nextUpdate of what the simulated service signs


def test_claims_of_simulated_hardware_say_so(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    claims = judged(machine, policy)[0].claims

    assert (claims.tee_attested.status, claims.tee_attested.source, claims.tee_attested.reason) == ("refuted", "verifier_derived", "simulated")
    assert claims.tcb_up_to_date.status == "unknown"
    assert claims.os_known_good.status == "asserted"
    assert claims.serving_software_known_good.status == "asserted"
    assert "simulated" in claims.serving_software_known_good.reason
    assert claims.gpu_attested.status == claims.model_weights_provenance.status == "unknown"
    assert claims.extra["compose_hash"] == machine.compose_hash.hex()
    assert claims.extra["mrtd"] == machine.td_report.mrtd.hex()


@pytest.mark.parametrize("kind", [kind for kind, each in BREAKS.items() if each.layer == "hardware"])
def test_every_broken_machine_is_refused_by_the_check_that_is_about_it(machine: SimulatedMachine, policy: AttestationPolicy, kind: str) -> None:
    broken = BrokenMachine(machine, kind)

    appraisal, binding = judged(broken, policy)

    assert failing(appraisal) in broken.expected.checks
    assert binding is None
    assert appraisal.failure is not None
    assert appraisal.failure.got and appraisal.failure.want


def _edit(path: str, value: Any) -> Any:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for name in parents:
            document = document[name]
        document[last] = value

    return change


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        ("report.format", "attestation", None),
        ("report.version", "api_version", "aci/2"),
        ("report.version", "attestation/tee_type", "sev_snp"),
        ("keyset.format", "attestation/workload_keyset/receipt_signing_keys", []),
        ("keyset.digest", "workload_keyset_digest", "sha256:" + "00" * 32),
        ("event_log.format", "attestation/evidence/event_log", None),
        ("compose.hash", "attestation/evidence/app_compose", None),
    ],
)
def test_every_broken_report_is_refused_by_the_check_that_is_about_it(
    machine: SimulatedMachine, policy: AttestationPolicy, check: str, path: str, value: Any
) -> None:
    appraisal, binding = judged(machine, policy, evidence(machine, change=_edit(path, value)))

    assert failing(appraisal) == check
    assert binding is None


@pytest.mark.parametrize("not_after", [NOW, NOW + 91 * 86_400])
def test_a_keyset_that_ended_or_never_ends_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, not_after: int) -> None:
    keyset = msgspec.structs.replace(KEYSET, not_after=not_after)

    assert failing(judged(machine, policy, evidence(machine, keyset))[0]) == "keyset.expiry"


@pytest.mark.parametrize(
    ("check", "members"),
    [
        ("binding.report_data", {"nonce": "5a" * 32}),
        ("channel.spki", {"peer_spki_sha256": "15" * 32}),
        ("channel.spki", {"peer_spki_sha256": None}),
        ("channel.hpke_key", {"hpke_key_config": None}),
        ("channel.hpke_key", {"hpke_key_config": bytes(41)}),
    ],
)
def test_another_channel_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, check: str, members: dict[str, Any]) -> None:
    assert failing(judged(machine, policy, evidence(machine, **members))[0]) == check


def test_another_keyset_than_the_one_quoted_is_refused_even_with_its_own_digest(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    other = msgspec.structs.replace(KEYSET, subject="the adversary's")

    def swap(document: dict[str, Any]) -> None:
        document["attestation"]["workload_keyset"] = other.document()
        document["workload_keyset_digest"] = other.digest()

    assert failing(judged(machine, policy, evidence(machine, change=swap))[0]) == "binding.report_data"


def test_what_lies_behind_the_failed_check_was_not_reached(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, _ = judged(BrokenMachine(machine, "debug-bit"), policy)

    outcomes = {check.name: check.outcome for check in appraisal.checks}
    assert outcomes["keyset.expiry"] is outcomes["quote.header"] is Outcome.PASSED
    assert outcomes["quote.debug"] is Outcome.FAILED
    assert outcomes["quote.sept_ve_disable"] is outcomes["quote.signature"] is outcomes["compose.accepted"] is Outcome.NOT_REACHED
    assert appraisal.claims.tee_attested.status == "unknown"
    assert appraisal.valid_until == 0


def test_what_the_library_refuses_leaves_its_other_checks_open(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, _ = judged(BrokenMachine(machine, "bad-quote-signature"), policy)

    outcomes = {check.name: check.outcome for check in appraisal.checks}
    assert outcomes["chain.revocation"] is Outcome.PASSED
    assert outcomes["tcb.info"] is outcomes["tcb.level"] is Outcome.NOT_REACHED


def test_hardware_policies_refuse_simulated_hardware_by_name(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    hardware = msgspec.structs.replace(policy, level=Level.TEE, tdx=TdxPolicy())

    assert failing(judged(machine, hardware)[0]) == "platform.marker"


def test_hardware_policies_refuse_unmarked_simulated_hardware_by_its_root(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    hardware = msgspec.structs.replace(policy, level=Level.TEE, tdx=TdxPolicy())

    assert failing(judged(BrokenMachine(machine, "unmarked-leaf"), hardware)[0]) == "chain.root"


@pytest.mark.parametrize("level", [Level.TEE, Level.ZDR])
def test_a_policy_that_pins_a_simulated_root_is_worth_nothing_else(machine: SimulatedMachine, policy: AttestationPolicy, level: Level) -> None:
    appraisal, binding = judged(machine, msgspec.structs.replace(policy, level=level))

    assert failing(appraisal) == "policy.level"
    assert binding is None


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"cpu": ("sev-snp", "nitro")}, "a policy for sev-snp and nitro"),
        ({"cpu": ()}, "a policy for nothing"),
        ({"nvidia": NvidiaPolicy(simulated_root_sha256="00" * 32, simulated_rim_root_sha256="00" * 32)}, "demands GPUs"),
        ({"provenance": ProvenancePolicy()}, "demands provenance"),
    ],
)
def test_what_a_policy_demands_beyond_a_tdx_quote_is_not_taken_for_given(
    machine: SimulatedMachine, policy: AttestationPolicy, members: dict[str, Any], match: str
) -> None:
    demanding = msgspec.structs.replace(policy, **members)
    if not demanding.simulated:
        demanding = msgspec.structs.replace(demanding, level=Level.TEE)

    for appraisal in (judged(machine, demanding)[0], appraise_quote(machine.quote(bytes(64)), machine.collateral(), demanding, NOW)):
        assert failing(appraisal) == "policy.level"
        assert appraisal.failure is not None
        assert appraisal.failure.got.endswith(match)


def test_grace_is_told_to_whoever_accepts_under_it(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    outdated = BrokenMachine(machine, "tcb-out-of-date")
    grace = (Grace(status="OutOfDate", until=datetime.date(2027, 1, 20), reason="an update is coming"),)
    patient = msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, grace=grace))

    appraisal, binding = judged(outdated, patient)

    assert binding is not None
    assert appraisal.warnings == ("TCB status OutOfDate (SIMULATED-SA-00001) is accepted until 2027-01-20: an update is coming",)
    genuine = appraise_quote(outdated.quote(bytes(64)), outdated.collateral(), patient, NOW)
    assert genuine.warnings == appraisal.warnings
    assert genuine.valid_until == int(datetime.datetime(2027, 1, 20, tzinfo=datetime.UTC).timestamp())


def test_a_log_of_ten_megabytes_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    log = machine.event_log_json[:-1] + " " * (10 * 1024 * 1024) + "]"

    assert failing(judged(machine, policy, evidence(machine, change=_edit("attestation/evidence/event_log", log)))[0]) == "report.format"


@pytest.mark.parametrize("written", [str.upper, lambda text: base64.b64encode(bytes.fromhex(text)).decode(), lambda text: f"0x{text}"])
def test_a_quote_in_another_encoding_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, written: Callable[[str], str]) -> None:
    quote = written(report(machine)["attestation"]["evidence"]["quote"])

    assert failing(judged(machine, policy, evidence(machine, change=_edit("attestation/evidence/quote", quote)))[0]) == "report.format"


def test_the_document_of_mrconfigid_is_found_in_vm_config(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    document = json.dumps({"compose_hash": machine.compose_hash.hex(), "key_provider": "none"})
    value = b"\x03" + hashlib.sha256(b"dstack-mr-config-v3:\x00" + document.encode()).digest() + bytes(15)

    def quoted(told: dict[str, Any]) -> None:
        original = bytes.fromhex(told["attestation"]["evidence"]["quote"])
        state = msgspec.structs.replace(machine.td_report, mr_config_id=value, report_data=original[568:632])
        told["attestation"]["evidence"]["quote"] = machine.quote_report(state).hex()

    def complete(told: dict[str, Any]) -> None:
        quoted(told)
        told["attestation"]["evidence"]["vm_config"] = json.dumps({"mr_config": document})

    def other_kind(told: dict[str, Any]) -> None:
        quoted(told)
        told["attestation"]["evidence"]["vm_config"] = {"mr_config": document}

    assert judged(machine, policy, evidence(machine, change=complete))[0].accepted
    for change in (quoted, other_kind):
        assert failing(judged(machine, policy, evidence(machine, change=change))[0]) == "compose.mr_config_id"


def test_a_policy_without_reference_values_accepts_nothing(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    assert (
        failing(judged(machine, msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, reference_values=())))[0])
        == "measurement.reference_values"
    )


@pytest.mark.parametrize("flag", ["allow_dynamic_platform", "allow_cached_keys", "allow_smt"])
def test_a_configuration_that_the_policy_disallows_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, flag: str) -> None:
    platform = msgspec.structs.replace(machine.platform, dynamic_platform=True, cached_keys=True, smt_enabled=True)
    liberal = SimulatedMachine(machine.pki, machine.clock, platform=platform)
    lax = msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, allow_cached_keys=True))  # the only flag that `policy` denies
    stricter = msgspec.structs.replace(lax, tdx=msgspec.structs.replace(lax.tdx, **{flag: False}))

    assert judged(liberal, lax)[0].accepted
    assert failing(judged(liberal, stricter)[0]) == "platform.configuration"


def test_a_td_that_can_migrate_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    state = msgspec.structs.replace(machine.td_report, td_attributes=(1 << 28 | 1 << 29).to_bytes(8, "little"))

    assert failing(appraise_quote(machine.quote_report(state), machine.collateral(), policy, NOW)) == "quote.migratable"


def test_mrconfigid_may_not_contradict_the_compose_file(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    document = report(machine)
    quoted = bytes.fromhex(document["attestation"]["evidence"]["quote"])
    state = msgspec.structs.replace(machine.td_report, mr_config_id=b"\x01" + bytes(47), report_data=quoted[568:632])
    document["attestation"]["evidence"]["quote"] = machine.quote_report(state).hex()

    fetched = evidence(machine, report=json.dumps(document).encode())

    assert failing(judged(machine, policy, fetched)[0]) == "compose.mr_config_id"


def test_without_sealing_the_binding_names_no_key_to_seal_to(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = evidence(machine, hpke_key_config=None)

    appraisal, binding = appraise(fetched, machine.collateral(), policy, NOW, require_hpke=False)

    assert appraisal.accepted
    assert binding is not None
    assert binding.hpke_public_key is None
    assert "channel.hpke_key" not in {check.name for check in appraisal.checks}


def test_a_keyset_can_be_established_without_a_channel(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched = evidence(machine, peer_spki_sha256=None)

    appraisal, binding = appraise(fetched, machine.collateral(), policy, NOW, require_hpke=False, require_channel=False)

    assert appraisal.accepted
    assert binding is not None
    assert binding.spki_sha256 is None


def test_policies_can_do_without_compose_and_log(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    def strip(document: dict[str, Any]) -> None:
        del document["attestation"]["evidence"]["event_log"], document["attestation"]["evidence"]["app_compose"]

    lenient = msgspec.structs.replace(policy, require_event_log=False, require_compose=False)

    appraisal, _ = judged(machine, lenient, evidence(machine, change=strip))

    assert appraisal.accepted
    assert appraisal.claims.serving_software_known_good.status == "unknown"


def test_a_compose_file_is_never_accepted_without_the_log_that_proves_it(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    no_log = msgspec.structs.replace(policy, require_event_log=False)

    fetched = evidence(machine, change=lambda document: document["attestation"]["evidence"].pop("event_log"))

    assert failing(judged(machine, no_log, fetched)[0]) == "event_log.format"


def test_the_log_alone_is_replayed_where_no_compose_file_is_asked_for(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    log_only = msgspec.structs.replace(policy, require_compose=False)

    assert judged(machine, log_only)[0].accepted
    assert failing(judged(BrokenMachine(machine, "event-log-broken"), log_only)[0]) == "event_log.replay"


def test_a_quote_alone_is_compared_with_reference_values_unless_told_not_to(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    quote, collateral = machine.quote(bytes(64)), machine.collateral()
    none_listed = msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, reference_values=()))

    assert appraise_quote(quote, collateral, policy, NOW).claims.os_known_good.status == "asserted"
    assert failing(appraise_quote(quote, collateral, none_listed, NOW)) == "measurement.reference_values"
    genuine = appraise_quote(quote, collateral, none_listed, NOW, compare_measurements=False)
    assert genuine.accepted
    assert genuine.claims.os_known_good.status == "unknown"


def test_every_result_names_its_policy_and_its_level(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    quote, collateral = machine.quote(bytes(64)), machine.collateral()
    results = (
        judged(machine, policy)[0],
        judged(machine, policy, evidence(machine, report=b""))[0],
        appraise_quote(quote, collateral, policy, NOW),
        appraise_quote(b"", collateral, policy, NOW),
        refused(policy, EvidenceRefused("report.format", "nothing", "a report")),
    )

    assert {(appraisal.policy, appraisal.level) for appraisal in results} == {(policy.name, Level.SIMULATED)}


def test_what_the_log_proves_of_the_boot_is_claimed(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    extra = judged(machine, policy)[0].claims.extra

    assert extra["app_id"] == machine.app_id.hex()
    assert "which weights the model has" in extra["unproven"]


def test_a_quotes_checks_are_planned_before_any_is_made(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    for quote in (machine.quote(bytes(64)), b""):
        names = [check.name for check in appraise_quote(quote, machine.collateral(), policy, NOW).checks]
        assert names == ["policy.level", *tdx_plan(policy.tdx), "measurement.reference_values"][: len(names)]
        assert names[-1] == "measurement.reference_values"


def test_the_channel_is_asked_for_unless_told_not_to(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal, _ = appraise(evidence(machine), machine.collateral(), policy, NOW, require_hpke=False)
    before = refused(policy, EvidenceRefused("report.format", "nothing", "a report"))

    for names in ([check.name for check in each.checks] for each in (appraisal, before)):
        assert "channel.spki" in names
        assert "channel.hpke_key" not in names


def test_version_5_quotes_are_accepted_too(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    quote = machine.quote_report(machine.td_report, version=5)

    assert appraise_quote(quote, machine.collateral(), policy, NOW).accepted


def test_needed_collateral_names_family_and_ca(machine: SimulatedMachine) -> None:
    assert needed_collateral(evidence(machine)) == CollateralNeed(machine.platform.fmspc.hex().upper(), "platform")


@pytest.mark.parametrize(
    ("body", "check"),
    [(b"", "report.format"), (b"[]", "report.format"), (b'{"api_version":"aci/0"}', "report.version")],
)
def test_needed_collateral_of_unreadable_evidence_is_a_refusal(machine: SimulatedMachine, body: bytes, check: str) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        needed_collateral(evidence(machine, report=body))
    assert refusal.value.check == check


def test_refusals_from_before_the_appraisal_look_like_any_other(policy: AttestationPolicy) -> None:
    appraisal = refused(policy, EvidenceRefused("report.format", "nothing", "a report"))

    assert failing(appraisal) == "report.format"
    assert {check.outcome for check in appraisal.checks} == {Outcome.FAILED, Outcome.NOT_REACHED}


def test_refusals_keep_the_checks_made_before(policy: AttestationPolicy) -> None:
    made = (Check("policy.level", Outcome.PASSED),)

    appraisal = refused(policy, EvidenceRefused("evidence.fetch", "no answer", "evidence"), before=made)

    assert appraisal.checks[:2] == (*made, Check("evidence.fetch", Outcome.FAILED, "no answer", "evidence"))
    assert [check.name for check in appraisal.checks].count("policy.level") == 1


def test_the_same_input_gives_the_same_output(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    fetched, collateral = evidence(machine), machine.collateral()

    first = appraise(fetched, collateral, policy, NOW, require_hpke=True)

    assert appraise(fetched, collateral, policy, NOW, require_hpke=True) == first
    assert fetched.nonce == NONCE
