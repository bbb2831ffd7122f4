"""A signer in a dstack machine: what its evidence binds, and each way in which it can fail to."""

import json
from typing import Any

import msgspec
import pytest

from ollm.attest.services import door
from ollm.attest.services.dstack_signer import checks
from ollm.attest.services.dstack_signer.appraise import gpu_payload
from ollm.attest.services.evidence import AnswerSigner, Demand
from ollm.attest.services.question import Question
from ollm.sim import reference
from ollm.testing.mint import nras
from ollm.testing.mint.signer import KMS, MODEL
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from tests.attest.services.dstack_signer.signers import (
    ANY,
    BEHIND,
    NONCE,
    SPKI,
    Bend,
    behind_gateway,
    direct,
    evidence,
    gateway,
    judged,
    policy,
    refused_by,
    signer,
    with_token,
)
from tests.sim.hardware import NOW

APP = signer("genuine").machine.app_id.hex()
WITHOUT_CHANNEL = Demand(shapes=("dstack",), channel=False)


def names(document: dict[str, Any], accepted: AttestationPolicy | None = None, **more: Any) -> list[tuple[str, str]]:
    """Target and name of every check that was made of an accepted report."""
    appraisal, _ = judged(document, accepted, **more)
    assert appraisal.accepted, appraisal.failure
    return [(check.target, check.name) for check in appraisal.checks]


def test_what_a_signer_binds() -> None:
    appraisal, bound = judged(direct(), policy(app_ids=(APP,), key_providers=(KMS,), require_manager=True, manager_files=("22" * 32,)))
    assert appraisal.accepted, appraisal.failure
    assert bound is not None
    assert (bound.spkis, bound.channel_custody) == ((SPKI,), "instance")
    key = signer("genuine").key.address
    assert [(each.cipher, each.public_key, each.custody) for each in bound.sealing] == [("near-e2ee-v2", key, "app_kms")]
    assert bound.signer == AnswerSigner("ed25519", key.hex())
    assert bound.identity["signing_address"] == key.hex()
    extra = appraisal.claims.extra
    assert (extra["app_id"], extra["key_provider"], extra["manager_actions"]) == (APP, f"kms {KMS}", "4")
    assert extra["manager_files"] == f"model.yaml={'22' * 32}"
    assert "its key service decides" in extra["unproven"]


def test_each_check_is_made_and_named_for_its_machine() -> None:
    made = names(direct())
    assert {name for target, name in made if not target} >= {*checks.SIGNER, *checks.MACHINE, *checks.MANAGER, *checks.OHTTP, "channel.spki"} - {
        "signer.gpus"
    }
    assert ("compose-manager", "quote.signature") in made
    assert made[-1] == ("", "key.custody")
    assert not any(name.startswith("gateway.") for _, name in made)


def test_what_is_bound_behind_a_gateway() -> None:
    appraisal, bound = judged(gateway(), behind_gateway(gateway_app_ids=(signer("gateway").machine.app_id.hex(),)))
    assert appraisal.accepted, appraisal.failure
    assert bound is not None
    assert (bound.spkis, bound.channel_custody) == ((SPKI,), "app_kms")
    assert bound.sealing[0].public_key == signer("genuine").key.address
    assert appraisal.claims.extra["gateway_app_id"] == signer("gateway").machine.app_id.hex()
    assert {name for _, name in names(gateway(), behind_gateway())} >= {*checks.GATEWAY, *checks.GATEWAY_MACHINE}
    assert ("gateway", "quote.signature") in names(gateway(), behind_gateway())


def test_what_is_not_there_and_not_demanded_is_not_checked() -> None:
    def bare(document: dict[str, Any]) -> None:
        for name in ("compose_manager_attestation", "ohttp_attestation", "ohttp_key_config"):
            del document[name]

    made = {name for _, name in names(direct(bend=bare))}
    assert not any(name.startswith(("manager.", "signer.ohttp", "signer.gpus")) for name in made)


def _set(name: str, value: Any) -> Bend:
    return lambda document: document.update({name: value})


def _manager(name: str, value: Any) -> Bend:
    return lambda document: document["compose_manager_attestation"].update({name: value})


def _stale(document: dict[str, Any]) -> None:
    """The quote of an earlier request, with our nonce written beside it."""
    document["intel_quote"] = signer("genuine").report("00" * 32, SPKI)["intel_quote"]


def _event(name: str, value: Any) -> Bend:
    def bend(document: dict[str, Any]) -> None:
        document["event_log"][-1][name] = value

    return bend


def _forged_event(document: dict[str, Any]) -> None:
    document["event_log"].insert(-3, {**document["event_log"][-2], "event": "app-id"})


REFUSED: dict[str, tuple[Bend, str]] = {
    "a nonce of the server's, written down": (_set("request_nonce", "11" * 32), "signer.nonce"),
    "a nonce in JSON only": (_stale, "binding.nonce"),
    "another model": (_set("model_name", "other"), "signer.model"),
    "another key": (lambda document: document.update(signing_address="77" * 32, signing_public_key="77" * 32), "binding.statement"),
    "a key that is not the address": (_set("signing_public_key", "77" * 32), "signer.key"),
    "another channel": (_set("tls_cert_fingerprint", "11" * 32), "binding.statement"),
    "no channel": (lambda document: document.pop("tls_cert_fingerprint"), "signer.fingerprint"),
    "a 20-byte address of an Ed25519 key": (_set("signing_address", "77" * 20), "signer.format"),
    "the manager's quote as the signer's": (
        lambda document: document.update(intel_quote=document["compose_manager_attestation"]["quote"]),
        "binding.statement",
    ),
    "a payload changed in the log": (_event("event_payload", "00"), "event_log.replay"),
    "an event added": (_forged_event, "event_log.replay"),
    "no event log": (lambda document: document.pop("event_log"), "event_log.format"),
    "another compose file": (lambda document: document["info"]["tcb_info"].update(app_compose="{}"), "compose.hash"),
    "an action left out": (lambda document: document["compose_manager_attestation"]["actions"].pop(), "manager.actions"),
    "a statement for another nonce": (_manager("nonce", "11" * 32), "manager.nonce"),
    "an old statement, with our nonce written beside it": (
        lambda document: document["compose_manager_attestation"].update(signer("genuine").manager("00" * 32), nonce=NONCE),
        "binding.nonce",
    ),
    "a statement of another machine": (
        lambda document: document.update(compose_manager_attestation=signer("genuine").manager(NONCE, by=signer("another build").machine)),
        "manager.machine",
    ),
    "a key configuration signed by another": (
        lambda document: document["ohttp_attestation"].update(signer("gateway").oblivious()["ohttp_attestation"]),
        "signer.ohttp",
    ),
    "a key configuration with another signature": (lambda document: document["ohttp_attestation"].update(signature="00" * 64), "signer.ohttp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_thing_changed_is_refused_by_its_check(name: str) -> None:
    bend, check = REFUSED[name]
    assert refused_by(direct(bend=bend)) == check


def test_what_only_the_policy_decides() -> None:
    assert refused_by(direct("another build"), policy()) == "measurement.reference_values"
    assert refused_by(direct("local keys"), reference.policy((signer("local keys").machine,))) == "signer.key_provider"
    assert refused_by(direct(), policy(app_ids=("00" * 20,))) == "signer.app"
    assert refused_by(direct(), policy(key_providers=("00",))) == "signer.key_provider"
    assert refused_by(direct(), policy(manager_files=("00" * 32,), require_manager=True)) == "manager.files"
    assert refused_by(direct(bend=lambda document: document.pop("compose_manager_attestation")), policy(require_manager=True)) == "manager.format"
    assert refused_by(direct(), policy(custody=("instance",))) == "key.custody"


def test_the_connection_must_end_at_the_attested_key() -> None:
    assert refused_by(direct(), peer_spki_sha256="11" * 32) == "channel.spki"
    assert refused_by(direct(), peer_spki_sha256=None) == "channel.spki"
    # Behind a gateway it is the gateway's key that counts, not the signer's.
    assert refused_by(gateway(), behind_gateway(), peer_spki_sha256=BEHIND) == "channel.spki"


def test_the_form_without_a_channel_is_for_those_who_ask_for_none() -> None:
    document = signer("genuine").report(NONCE, None)
    appraisal, bound = judged(document, policy(sealed_to_application=True), demand=WITHOUT_CHANNEL)
    assert appraisal.accepted, appraisal.failure
    assert bound is not None
    assert bound.spkis == ()
    assert refused_by(document, demand=Demand(shapes=("dstack",))) == "signer.fingerprint"
    assert refused_by(document, demand=WITHOUT_CHANNEL) == "key.custody"  # its application's key, and nothing that singles the machine out


def test_an_ecdsa_signer_signs_answers_and_nothing_is_sealed_to_it() -> None:
    unsealed = Demand(shapes=("dstack",), seal=False)
    appraisal, bound = judged(direct("ecdsa"), demand=unsealed)
    assert appraisal.accepted, appraisal.failure
    assert bound is not None
    assert bound.sealing == ()
    assert bound.signer == AnswerSigner("ecdsa", signer("ecdsa").key.address.hex())
    assert refused_by(direct("ecdsa")) == "signer.algorithm"
    assert refused_by(direct("ecdsa", _set("signing_public_key", "11" * 64)), demand=unsealed) == "signer.key"
    assert judged(direct("ecdsa", lambda document: document.pop("signing_public_key")), demand=unsealed)[1] is not None
    assert judged(direct("ecdsa", _set("signing_public_key", "04" + signer("ecdsa").key.public.hex())), demand=unsealed)[1] is not None


GATEWAYS: dict[str, tuple[Bend, str]] = {
    "another nonce": (lambda document: document["gateway_attestation"].update(request_nonce="11" * 32), "gateway.nonce"),
    "no fingerprint": (lambda document: document["gateway_attestation"].pop("tls_cert_fingerprint"), "gateway.format"),
    "no signer behind it": (_set("model_attestations", []), "gateway.candidates"),
    "no list behind it": (_set("model_attestations", None), "gateway.candidates"),
    "two signers behind it": (lambda document: document["model_attestations"].append(document["model_attestations"][0]), "gateway.candidates"),
    "a signer of another model": (lambda document: document["model_attestations"][0].update(model_name="other"), "gateway.candidates"),
    "another service behind it": (_set("model_attestations", [{"attestation_type": "chutes"}]), "gateway.candidates"),
    "the signer's report as its own": (
        lambda document: document.update(gateway_attestation=signer("genuine").gateway_report(NONCE, SPKI)),
        "measurement.reference_values",
    ),
    "its own report as the signer's": (
        lambda document: document.update(model_attestations=[{**signer("gateway").report(NONCE, BEHIND), "model_name": MODEL}]),
        "measurement.reference_values",
    ),
    "another key": (lambda document: document["gateway_attestation"].update(signing_address="77" * 32), "binding.statement"),
}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_is_refused_by_its_check(name: str) -> None:
    bend, check = GATEWAYS[name]
    assert refused_by(gateway(bend), behind_gateway()) == check


def test_a_gateway_is_refused_where_the_policy_says_nothing_of_one() -> None:
    assert refused_by(gateway()) == "gateway.accepted"
    assert refused_by(gateway(), behind_gateway(gateway_app_ids=("00" * 20,))) == "gateway.app"


def test_nothing_is_accepted_under_a_shape_that_was_not_asked_for() -> None:
    assert refused_by_shape(gateway(), Demand(shapes=("dstack",)))
    assert refused_by_shape(direct(), Demand(shapes=("near-gateway",)))


def refused_by_shape(document: dict[str, Any], demand: Demand) -> bool:
    question = Question(evidence(document), (), (), policy(), NOW, demand)
    appraisal, _ = door.appraise(question)
    return appraisal.failure is not None and appraisal.failure.name == "report.shape"


def test_collateral_for_another_number_of_machines_is_no_collateral() -> None:
    question = Question(evidence(direct()), (), (), policy(), NOW, ANY)
    appraisal, _ = door.appraise(question)
    assert appraisal.failure is not None
    assert appraisal.failure.name == "machine.collateral"


def test_without_a_log_nothing_is_said_of_the_application() -> None:
    accepted = msgspec.structs.replace(policy(), require_event_log=False, require_compose=False)
    made = {name for _, name in names(direct(), accepted)}
    assert not made & {"signer.app", "signer.key_provider", "compose.hash"}
    behind = msgspec.structs.replace(behind_gateway(), require_event_log=False, require_compose=False)
    assert "gateway.app" not in {name for _, name in names(gateway(), behind)}


# --- GPUs ---------------------------------------------------------------------------------------------------------------


def with_gpus(**nvidia: Any) -> AttestationPolicy:
    accepted = signer("two GPUs").devices[0].hierarchy.policy(**nvidia)
    return msgspec.structs.replace(reference.policy((signer("two GPUs").machine,)), nvidia=accepted)


def test_gpus_are_judged_by_their_reports() -> None:
    appraisal, _ = judged(direct("two GPUs"), with_gpus(min_gpus=2))
    assert appraisal.accepted, appraisal.failure
    assert appraisal.claims.extra["device1_kind"] == "gpu"


def _gpus(change: Bend) -> Bend:
    def bend(document: dict[str, Any]) -> None:
        payload = json.loads(document["nvidia_payload"])
        change(payload)
        document["nvidia_payload"] = json.dumps(payload)

    return bend


def test_as_many_gpus_as_the_machine_has() -> None:
    def configured(number: Any) -> Bend:
        return lambda document: document["info"].update(vm_config=json.dumps({"num_gpus": number}))

    assert refused_by(direct("two GPUs", configured(8)), with_gpus()) == "signer.gpus"
    assert refused_by(direct("two GPUs", configured("2")), with_gpus()) == "signer.gpus"
    assert refused_by(direct("two GPUs", lambda document: document["info"].pop("vm_config")), with_gpus()) == "signer.gpus"
    assert refused_by(direct("two GPUs", _set("nvidia_payload", "")), with_gpus()) == "devices.required"
    assert refused_by(direct("two GPUs", _gpus(_set("evidence_list", []))), with_gpus()) == "devices.required"


def test_no_gpu_stands_in_for_two() -> None:
    twice = _gpus(lambda payload: payload.update(evidence_list=payload["evidence_list"][:1] * 2))
    assert refused_by(direct("two GPUs", twice), with_gpus(require_ocsp=False)) == "devices.distinct"


def test_gpus_that_signed_another_nonce() -> None:
    other = json.dumps(signer("two GPUs").payload("11" * 32))
    assert refused_by(direct("two GPUs", _set("nvidia_payload", other)), with_gpus()) == "device.nonce"


def test_gpus_by_the_word_of_nvidias_service() -> None:
    service = nras.create_service(NOW)
    pins = NvidiaPolicy(
        simulated_root_sha256=service.root.sha256, simulated_rim_root_sha256="00" * 32, accept=("nras",), min_gpus=2, require_ocsp=False
    )
    accepted = msgspec.structs.replace(with_gpus(), nvidia=pins)
    token = service.bundle(NOW, bytes.fromhex(NONCE), gpus=2)
    appraisal, _ = with_token(direct("two GPUs"), token, service.jwks(), accepted)
    assert appraisal.accepted, appraisal.failure
    fewer, _ = with_token(
        direct("two GPUs"), service.bundle(NOW, bytes.fromhex(NONCE), gpus=1), service.jwks(), msgspec.structs.replace(accepted, nvidia=one(pins))
    )
    assert fewer.failure is not None
    assert fewer.failure.name == "signer.gpus"


def one(pins: NvidiaPolicy) -> NvidiaPolicy:
    return msgspec.structs.replace(pins, min_gpus=1)


def test_what_nvidias_service_is_asked() -> None:
    document = direct("two GPUs")
    assert gpu_payload(json.dumps(document).encode(), MODEL) == document["nvidia_payload"].encode()
    assert gpu_payload(json.dumps(gateway(kind="two GPUs")).encode(), MODEL) is not None
    assert gpu_payload(json.dumps(direct()).encode(), MODEL) is None  # it has no GPUs
    assert gpu_payload(b"<html>", MODEL) is None
    assert gpu_payload(json.dumps({**document, "nvidia_payload": json.loads(document["nvidia_payload"])}).encode(), MODEL) is None
