"""A whole enclave of each generation: what accepts it, what its claims say, and which check sees each lie."""

import json
from typing import Any

import msgspec
import pytest

from ollm.attest.evidence import MachineCollateral, NitroEvidence, NrasCollateral, NrasEvidence, SnpEvidence
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand
from ollm.attest.services.tinfoil import appraise, bound, checks
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nras
from ollm.testing.mint import tinfoil as mint
from ollm.values.checks import Appraisal, Outcome
from ollm.values.hexes import Hex32
from ollm.values.policy import NvidiaPolicy, ServicePolicy
from tests.attest.service import failing
from tests.attest.services.tinfoil.enclaves import (
    DEMAND,
    NONCE,
    SERVER,
    evidence,
    gpu,
    gpus,
    judged,
    keys,
    policy,
    snp,
    statements,
    switch,
    switches,
    tdx,
    with_devices,
)
from tests.sim.hardware import NOW

OTHER = Hex32("00" * 32)
GUESTS = [pytest.param(tdx, id="tdx"), pytest.param(snp, id="sev-snp")]
FORMS = [pytest.param(mint.v3, id="v3"), pytest.param(mint.june, id="june")]


def names(appraisal: Appraisal) -> list[str]:
    return [check.name for check in appraisal.checks if check.name in checks.CHECKS or check.name.startswith(("binding.", "channel."))]


@pytest.mark.parametrize("guest", GUESTS)
def test_a_document_of_v3_is_accepted(guest: Any) -> None:
    appraisal, found = judged(mint.v3(guest(), keys(), NONCE), guest())
    assert appraisal.accepted, appraisal.failure
    assert names(appraisal) == ["tinfoil.format", "tinfoil.nonce", "tinfoil.sections", "tinfoil.keys", "binding.statement", "channel.spki"]
    assert found is not None
    assert (found.spkis, found.channel_custody) == ((keys().spki,), "instance")
    assert [(key.cipher, key.public_key, key.custody) for key in found.sealing] == [("ehbp", keys().hpke, "instance")]
    assert found.identity == {"tls_key": keys().spki, "host": "enclave.example"}


@pytest.mark.parametrize("guest", GUESTS)
def test_a_document_of_june_is_accepted(guest: Any) -> None:
    appraisal, found = judged(mint.june(guest(), keys(), NONCE), guest())
    assert appraisal.accepted, appraisal.failure
    wanted = ["tinfoil.format", "tinfoil.nonce", "tinfoil.sections", "tinfoil.signature", "tinfoil.keys", "binding.statement", "channel.spki"]
    assert names(appraisal) == wanted
    assert found is not None
    assert found.sealing[0].public_key == keys().hpke


@pytest.mark.parametrize("guest", GUESTS)
def test_a_document_of_v2_is_accepted_only_where_the_policy_takes_what_is_not_for_our_nonce(guest: Any) -> None:
    report = mint.v2(guest(), keys())
    assert failing(judged(report, guest())[0]) == "tinfoil.freshness"
    appraisal, found = judged(report, guest(), accepted=policy(guest(), service=SERVER))
    assert appraisal.accepted, appraisal.failure
    assert names(appraisal) == ["tinfoil.format", "tinfoil.freshness", "tinfoil.keys", "channel.spki"]
    assert found is not None
    assert (found.spkis, found.sealing[0].public_key) == ((keys().spki,), keys().hpke)
    assert appraisal.claims is not None
    assert "that the evidence is not an old one" in appraisal.claims.extra["unproven"]


@pytest.mark.parametrize(("form", "told"), [(mint.v2, "sealing key: named; report: not named"), (mint.v3, None)], ids=["v2", "v3"])
def test_what_a_certificate_says_is_told_of_v2(form: Any, told: str | None) -> None:
    fetched = evidence(form(snp(), keys()) if told else form(snp(), keys(), NONCE))
    answer = mint.named_certificate(keys(), NOW, hpke=keys().hpke)
    fetched = msgspec.structs.replace(fetched, documents={**fetched.documents, appraise.CERTIFICATE: answer})
    appraisal, _ = judged(fetched, snp(), accepted=policy(snp(), service=SERVER))
    assert appraisal.claims is not None
    assert appraisal.claims.extra.get("certificate") == told


@pytest.mark.parametrize(
    ("ends", "said", "unproven"),
    [
        ("router", "router: encryption ends in a router", True),
        ("enclave", "enclave: the machine that was attested runs the model", False),
        (None, "not stated", True),
    ],
)
def test_where_encryption_ends_is_the_policys_word(ends: Any, said: str, unproven: bool) -> None:
    appraisal, _ = judged(mint.v3(snp(), keys(), NONCE), snp(), accepted=policy(snp(), service=ServicePolicy(terminates_at=ends)))
    assert appraisal.claims is not None
    assert appraisal.claims.extra["terminates_at"].startswith(said)
    assert ("which machine runs the model" in appraisal.claims.extra["unproven"]) is unproven
    assert appraisal.claims.extra["document"] == "tinfoil-v3"


# Software


@pytest.mark.parametrize("guest", GUESTS)
def test_software_that_nobody_attested_is_refused(guest: Any) -> None:
    appraisal, found = judged(mint.v3(guest(), keys(), NONCE), guest(), said=())
    assert found is None
    assert failing(appraisal) in ("provenance.reference_values", "measurement.reference_values", "snp.reference_values")


@pytest.mark.parametrize(("guest", "check"), [(tdx, "measurement.reference_values"), (snp, "snp.reference_values")], ids=["tdx", "sev-snp"])
def test_another_release_than_the_attested_one_is_refused(guest: Any, check: str) -> None:
    code, hardware = statements()
    code = msgspec.structs.replace(code, predicate=mint.build_predicate())
    assert failing(judged(mint.v3(guest(), keys(), NONCE), guest(), said=(code, hardware))[0]) == check


def test_something_in_the_last_register_is_refused() -> None:
    guest = mint.TdxGuest(tdx().machine)
    guest.state = msgspec.structs.replace(guest.state, rtmr3=b"\x01" * 48)
    assert failing(judged(mint.v3(guest, keys(), NONCE), guest)[0]) == "measurement.reference_values"


def test_a_release_by_another_repository_is_refused() -> None:
    code, hardware = statements()
    stranger = msgspec.structs.replace(code.by, repository="tinfoilsh-evil/router")
    appraisal, _ = judged(mint.v3(snp(), keys(), NONCE), snp(), said=(msgspec.structs.replace(code, by=stranger), hardware))
    assert failing(appraisal) == "provenance.identity"


# What binds


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_to_another_nonce_is_refused(form: Any) -> None:
    assert failing(judged(form(snp(), keys(), OTHER), snp())[0]) == "tinfoil.nonce"


def test_our_nonce_written_into_an_old_document_is_refused() -> None:
    def echoed(document: mint.Document) -> None:
        document["challenge"]["nonce"] = NONCE

    assert failing(judged(mint.v3(snp(), keys(), OTHER, change=echoed), snp())[0]) == "tinfoil.sections"


def test_an_old_document_whose_statements_are_all_corrected_is_refused_by_what_the_cpu_signed() -> None:
    old = mint.v3(snp(), keys(), OTHER)

    def kept(document: mint.Document) -> None:
        document["cpu_evidence"]["report_base64"] = json.loads(old)["cpu_evidence"]["report_base64"]

    assert failing(judged(mint.v3(snp(), keys(), NONCE, change=kept), snp())[0]) == "binding.statement"


def test_our_nonce_written_into_an_old_document_of_june_is_refused() -> None:
    def echoed(document: mint.Document) -> None:
        document["report_data"]["nonce"] = NONCE

    assert failing(judged(mint.june(snp(), keys(), OTHER, change=echoed), snp())[0]) == "binding.statement"


@pytest.mark.parametrize("form", [*FORMS, pytest.param(lambda guest, own, nonce: mint.v2(guest, own), id="v2")])
@pytest.mark.parametrize("peer", [OTHER, None], ids=["another key", "no TLS"])
def test_a_connection_that_ends_elsewhere_is_refused(form: Any, peer: Hex32 | None) -> None:
    fetched = evidence(form(snp(), keys(), NONCE), peer_spki_sha256=peer)
    assert failing(judged(fetched, snp(), accepted=policy(snp(), service=SERVER))[0]) == "channel.spki"


def test_without_a_channel_nothing_is_asked_of_it() -> None:
    appraisal, found = judged(
        evidence(mint.v3(snp(), keys(), NONCE), peer_spki_sha256=None), snp(), demand=msgspec.structs.replace(DEMAND, channel=False)
    )
    assert appraisal.accepted
    assert found is not None
    assert "channel.spki" not in names(appraisal)


def test_another_sealing_key_than_was_signed_is_refused() -> None:
    def swapped(section: mint.Document) -> None:
        section["items"][1]["data"] = "77" * 32

    genuine = json.loads(mint.v3(snp(), keys(), NONCE))

    def relayed(document: mint.Document) -> None:
        document["cpu_evidence"] = genuine["cpu_evidence"]

    assert failing(judged(mint.v3(snp(), keys(), NONCE, keys_changed=swapped, change=relayed), snp())[0]) == "tinfoil.sections"


def test_a_key_to_seal_to_is_demanded_only_where_bodies_are_sealed() -> None:
    def without(section: mint.Document) -> None:
        del section["items"][1]

    report = mint.v3(snp(), keys(), NONCE, keys_changed=without)
    assert failing(judged(report, snp())[0]) == "tinfoil.keys"
    appraisal, found = judged(report, snp(), demand=msgspec.structs.replace(DEMAND, seal=False))
    assert appraisal.accepted
    assert found is not None
    assert found.sealing == ()


def test_a_machine_that_states_no_key_of_its_channel_is_refused() -> None:
    def without(section: mint.Document) -> None:
        del section["items"][0]

    assert failing(judged(mint.v3(snp(), keys(), NONCE, keys_changed=without), snp())[0]) == "tinfoil.keys"


def test_a_document_of_v2_from_before_there_was_a_sealing_key() -> None:
    assert failing(judged(mint.v2(snp(), keys(), sealing=False), snp(), accepted=policy(snp(), service=SERVER))[0]) == "tinfoil.keys"


# Devices


@pytest.mark.parametrize("form", FORMS)
def test_devices_that_the_policy_demands_are_judged_and_bound(form: Any) -> None:
    accepted, collateral = with_devices(tdx(), gpu(), switch())
    appraisal, _ = judged(form(tdx(), keys(), NONCE, gpus=gpus(), switches=switches()), tdx(), accepted=accepted, collateral=collateral)
    assert appraisal.accepted, appraisal.failure
    assert {"devices.bound", "device.nonce"} <= {check.name for check in appraisal.checks}


@pytest.mark.parametrize("form", FORMS)
def test_devices_that_are_demanded_and_not_there_are_refused(form: Any) -> None:
    accepted, collateral = with_devices(tdx())
    assert failing(judged(form(tdx(), keys(), NONCE), tdx(), accepted=accepted, collateral=collateral)[0]) == "devices.required"


@pytest.mark.parametrize("form", FORMS)
def test_devices_that_answered_another_nonce_are_refused(form: Any) -> None:
    accepted, collateral = with_devices(tdx(), gpu())
    report = form(tdx(), keys(), NONCE, gpus=(gpu().evidence(bytes(32)),))
    assert failing(judged(report, tdx(), accepted=accepted, collateral=collateral)[0]) == "device.nonce"


def test_a_policy_that_wants_the_nonce_itself_in_the_report_data_is_not_met() -> None:
    accepted, collateral = with_devices(tdx(), gpu(), bound="nonce")
    assert failing(judged(mint.v3(tdx(), keys(), NONCE, gpus=gpus()), tdx(), accepted=accepted, collateral=collateral)[0]) == "devices.bound"


def test_evidence_of_devices_that_is_put_in_later_is_refused() -> None:
    accepted, collateral = with_devices(tdx(), gpu())
    bare, full = (json.loads(mint.v3(tdx(), keys(), NONCE, gpus=devices)) for devices in ((), gpus()))
    bare["device_evidence"] = full["device_evidence"]
    assert failing(judged(json.dumps(bare).encode(), tdx(), accepted=accepted, collateral=collateral)[0]) == "tinfoil.sections"


def test_evidence_of_devices_that_is_put_into_a_document_of_june_is_refused() -> None:
    accepted, collateral = with_devices(tdx(), gpu())

    def put_in(document: mint.Document) -> None:
        document["gpu"] = json.loads(mint.june(tdx(), keys(), NONCE, gpus=gpus()))["gpu"]

    assert failing(judged(mint.june(tdx(), keys(), NONCE, change=put_in), tdx(), accepted=accepted, collateral=collateral)[0]) == "tinfoil.sections"


def test_switches_as_they_were_hashed_in_june_are_refused() -> None:
    accepted, collateral = with_devices(tdx(), gpu(), switch())
    report = mint.june(tdx(), keys(), NONCE, gpus=gpus(), switches=switches(), honest_switches=False)
    assert failing(judged(report, tdx(), accepted=accepted, collateral=collateral)[0]) == "tinfoil.sections"


def test_nvidias_word_takes_the_place_of_reports_where_the_policy_wants_that() -> None:
    service = nras.create_service(NOW)
    token = service.bundle(NOW, bytes.fromhex(NONCE))
    fetched = evidence(mint.v3(tdx(), keys(), NONCE, gpus=gpus()))
    fetched = msgspec.structs.replace(fetched, documents={**fetched.documents, appraise.NRAS: token})
    assert door.machines(fetched, DEMAND)[0].devices == (NrasEvidence(token=token),)
    demanded = NvidiaPolicy(simulated_root_sha256=service.root.sha256, simulated_rim_root_sha256="0" * 64, accept=("nras",), bound="hash")
    collateral = MachineCollateral(cpu=tdx().collateral(), devices=(NrasCollateral(jwks=service.jwks()),))
    appraisal, _ = judged(fetched, tdx(), accepted=policy(tdx(), nvidia=demanded), collateral=(collateral,))
    assert appraisal.accepted, appraisal.failure


# The way through


def test_the_machine_comes_with_the_certificate_that_the_document_carries() -> None:
    leaf = snp().machine.leaf()
    fetched = evidence(mint.v3(snp(), keys(), NONCE, collateral=[mint.vcek_entry(leaf, snp().machine.chain)]))
    (machine,) = door.machines(fetched, DEMAND)
    assert isinstance(machine.cpu, SnpEvidence)
    assert machine.cpu.leaf == leaf
    assert judged(fetched, snp())[0].accepted


def test_collateral_for_no_machine_is_refused() -> None:
    assert failing(judged(mint.v3(snp(), keys(), NONCE), snp(), collateral=())[0]) == "machine.collateral"


def test_a_document_that_is_broken_stops_the_way_before_the_machine() -> None:
    def unknown(document: mint.Document) -> None:
        document["generated_at"] = 1

    appraisal, _ = judged(mint.v3(snp(), keys(), NONCE, change=unknown), snp())
    assert failing(appraisal) == "tinfoil.format"
    assert {check.name for check in appraisal.checks if check.outcome is Outcome.NOT_REACHED} >= {"tinfoil.nonce", "channel.spki"}


def test_a_report_of_another_shape_is_none_of_its() -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        appraise.machines(evidence(b'{"attestation_type":"chutes"}'))
    assert refusal.value.check == "report.shape"


def test_who_asks_nvidia_is_told_of_the_gpus() -> None:
    evidences = gpus()
    assert appraise.gpus(mint.v3(tdx(), keys(), NONCE, gpus=evidences, switches=switches())) == (evidences, "HOPPER")
    assert appraise.gpus(mint.june(tdx(), keys(), NONCE, gpus=gpus()))[1] == "HOPPER"
    assert appraise.gpus(mint.v3(tdx(), keys(), NONCE)) == ((), "")


def test_only_the_shapes_of_the_demand_are_read() -> None:
    appraisal, _ = judged(mint.v2(snp(), keys()), snp(), demand=Demand(shapes=("tinfoil-v3",)))
    assert failing(appraisal) == "report.shape"


def test_no_other_machine_has_report_data_of_v2() -> None:
    with pytest.raises(EvidenceRefused):
        bound.v2_keys(NitroEvidence(document=bytes(2000)))
