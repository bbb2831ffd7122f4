"""A deployment in memory: its messages are what the vendors' libraries write, its certificates what its coordinator says they are."""

import base64
import json

from ollm.attest.evidence import TdxCollateral
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint.contrast import (
    SERVICE_NAME,
    Deployment,
    SnpCoordinator,
    TdxCoordinator,
    encoded,
    field,
    manifest_of,
    snp_report,
    tdx_quote,
    varint,
)
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.values.hexes import Hex32
from tests.sim.hardware import NOW, FrozenClock

NONCE = Hex32("a5" * 32)


def test_fields_of_messages() -> None:
    """Vectors of Protocol Buffers' documentation."""
    assert varint(150) == bytes.fromhex("9601")
    assert field(1, 150) == bytes.fromhex("089601")
    assert field(2, b"testing") == bytes.fromhex("120774657374696e67")
    assert field(1, 0) == b""


def test_a_report_and_a_quote_lose_nothing_that_is_signed() -> None:
    chip = SnpMachine(create_snp_pki("Genoa", NOW), NOW)
    message = snp_report(chip.report(report_data=bytes(range(64))))
    assert bytes(range(64)) in message and chip.chip_id in message
    quote = SimulatedMachine(create_pki(NOW), FrozenClock()).quote(bytes(range(64)))
    message = tdx_quote(quote)
    assert all(quote[at : at + 32] in message for at in (16 + 48, 568, 636, 700, 636 + 518))


def test_a_deployment_pins_itself() -> None:
    machine = SimulatedMachine(create_pki(NOW), FrozenClock())
    deployment = Deployment(TdxCoordinator(machine), NOW)
    document = json.loads(base64.b64decode(json.loads(deployment.answer(NONCE))["AttestationDoc"]))
    assert base64.b64decode(document["manifests"][0]) == deployment.manifest == encoded(manifest_of(deployment.coordinator))
    assert isinstance(deployment.coordinator.collateral(), TdxCollateral)
    leaf = deployment.mesh.certify(SERVICE_NAME)
    leaf.certificate.verify_directly_issued_by(deployment.mesh.ca.certificate)


def test_the_vendors_certificate_need_not_come_along() -> None:
    chip = SnpMachine(create_snp_pki("Genoa", NOW), NOW)
    sent, alone = (SnpCoordinator(chip, carried=carried).attest(bytes(64), "00" * 32) for carried in (True, False))
    assert chip.leaf() not in alone and len(sent) > len(alone) + 500
    assert SnpCoordinator(chip).collateral() is not None
