"""The server that plays Privatemode: what it says is true to form, and each way of cheating changes something."""

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature

from ollm.attest.services.privatemode import document
from ollm.attest.tdx.layout import parse_quote
from ollm.seal.secret_exchange import SecretExchange
from ollm.testing.providers.privatemode import ApiCheat, PrivatemodeServer
from ollm.values.hexes import Hex32

NONCE = Hex32("a5" * 32)
IN_EVIDENCE = [ApiCheat.OTHER_MANIFEST, ApiCheat.TWO_MANIFESTS, ApiCheat.MANIFEST_CHANGED, ApiCheat.MANIFEST_HIDDEN, ApiCheat.STALE]
IN_EVIDENCE += [ApiCheat.OTHER_WORKLOAD, ApiCheat.OTHER_BUILD, ApiCheat.OTHER_MESH_CA]
IN_AGREEMENT = [ApiCheat.FOREIGN_SERVICE, ApiCheat.OTHER_NAME, ApiCheat.EXPIRED_SERVICE]


def honest(server: PrivatemodeServer) -> tuple[object, ...]:
    """What an honest deployment's attestation has in common with every other of its own."""
    found = document.read(server.attestation(NONCE))
    assert hasattr(found.cpu, "quote")
    report = parse_quote(found.cpu.quote).td_report
    return found.manifests, found.mesh_ca, report.mr_config_id, report.mrtd, report.report_data == found.report_data(NONCE)


def test_the_coordinator_signed_its_state() -> None:
    server = PrivatemodeServer()
    assert honest(server) == honest(server)
    assert honest(server)[-1] is True


@pytest.mark.parametrize("cheat", IN_EVIDENCE)
def test_each_cheat_changes_the_evidence(cheat: ApiCheat) -> None:
    server = PrivatemodeServer()
    before, server.cheat = honest(server), cheat
    assert honest(server) != before


def test_both_sides_of_an_agreement_hold_the_same_secret() -> None:
    server, ours = PrivatemodeServer(), SecretExchange()
    said = {name: base64.b64decode(value) for name, value in server.agreement(ours.public_key).items()}
    secret = ours.secret(said["EncapsulatedKey"], said["Signature"], server.service.public_key)
    assert server.service.secrets == {ours.secret_id: secret}


@pytest.mark.parametrize("cheat", IN_AGREEMENT)
def test_each_cheat_changes_the_certificate(cheat: ApiCheat) -> None:
    server = PrivatemodeServer()
    server.cheat = cheat
    certificate = server._certificate().certificate
    honest_one = PrivatemodeServer()._certificate().certificate
    mesh = server.deployment.mesh
    assert (certificate.not_valid_after_utc.timestamp() < mesh.now) is (cheat is ApiCheat.EXPIRED_SERVICE)
    assert (certificate.subject != honest_one.subject) is (cheat is ApiCheat.OTHER_NAME)
    if cheat is ApiCheat.FOREIGN_SERVICE:
        with pytest.raises((ValueError, InvalidSignature)):
            certificate.verify_directly_issued_by(mesh.ca.certificate)
    else:
        certificate.verify_directly_issued_by(mesh.ca.certificate)


def test_the_policy_admits_it_on_either_platform() -> None:
    assert PrivatemodeServer(platform="sev-snp").policy.cpu == ("sev-snp",)
    policy = PrivatemodeServer().policy
    assert policy.cpu == ("tdx",) and policy.service.sealed_to_application
    assert json.loads(PrivatemodeServer().deployment.manifest)["Policies"]
