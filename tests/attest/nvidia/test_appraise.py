"""One device after the other: accepted as a whole, refused for the one thing that is wrong with it."""

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp as x509_ocsp

from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.nvidia import appraise, layout
from ollm.attest.nvidia.checks import CHECKS, OCSP_CHECKS
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.nvidia_rim import references
from ollm.testing.mint.nvidia_rim import rim as mint_rim
from ollm.testing.mint.x509 import DAY, issue
from ollm.values.policy import NvidiaPolicy
from tests.attest.nvidia.devices import (
    CHIPS,
    ENDORSED,
    GPU,
    NONCE,
    POLICY,
    WITHOUT_OCSP,
    certified,
    collateral,
    device,
    judge,
    refusal,
    reporting,
    with_driver_rim,
)
from tests.sim.hardware import NOW

EVIDENCE = GPU.evidence(NONCE)
HIERARCHY = GPU.hierarchy
DRIVER_INDICES = (7, *range(21, 41))


@pytest.mark.parametrize(("chip", "kind", "model"), [("GH100", "gpu", "Hopper"), ("GB100", "gpu", "Blackwell"), ("LS_10", "switch", "LS10")])
def test_a_genuine_device_of_each_architecture(chip: str, kind: str, model: str) -> None:
    made = device(chip)
    facts = judge(made.evidence(NONCE), collateral(chip))
    assert (facts.kind, facts.model, facts.nonce, facts.by) == (kind, model, NONCE, "report")
    assert facts.device_id == f"{made.leaf.certificate.serial_number:x}"
    assert facts.facts["chip_serial"] == f"{made.chip.certificate.serial_number:x}"
    assert facts.facts["vbios"] == made.bios and facts.facts.get("driver") == made.driver
    assert facts.facts["chip"] == made.hierarchy.chip.replace("_", "")
    assert None not in facts.facts.values()
    assert facts.identity == layout.parse_report(made.report(NONCE)).identity
    assert facts.valid_until == NOW + 23 * 3600  # the revocation answers end first
    assert facts.warnings == ()


def test_what_is_known_of_a_gpu_in_words() -> None:
    facts = judge(EVIDENCE, ENDORSED).facts
    assert facts["measurements"] == "33 equal to NVIDIA's reference values, 0 without one"
    assert facts["driver_rim"] == "NV_GPU_DRIVER_GH100_550.90.07"
    assert facts["vbios_rim"] == "NV_GPU_VBIOS_1010_0200_882_96009F0001"
    assert len(facts["driver_rim_sha256"]) == len(facts["vbios_rim_sha256"]) == 64


def test_the_plan_follows_the_policy() -> None:
    assert appraise.plan(POLICY) == tuple(CHECKS)
    assert not set(OCSP_CHECKS) & set(appraise.plan(WITHOUT_OCSP))
    assert "device.nonce" not in appraise.plan(POLICY, nonce=False)


def test_without_a_nonce_of_ours_the_devices_own_is_handed_on() -> None:
    assert judge(EVIDENCE, ENDORSED, nonce=None).nonce == NONCE


def test_a_planned_nonce_is_never_left_out() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        appraise.genuine_device(Trail(appraise.plan(POLICY)), EVIDENCE, ENDORSED, POLICY, NOW, nonce=None)
    assert caught.value.check == "device.nonce"


def test_a_replayed_report() -> None:
    assert refusal(reporting(GPU.report(bytes(32))), ENDORSED).check == "device.nonce"


@pytest.mark.parametrize(
    ("evidence", "check"),
    [
        (reporting(b""), "device.format"),
        (reporting(EVIDENCE.report[:-1]), "device.format"),
        (reporting(EVIDENCE.report + b"\x00"), "device.format"),
        (NvidiaEvidence(report=EVIDENCE.report, certificate_chain=""), "device.certificates"),
        (certified(GPU.parties[:4]), "device.chain"),
        (reporting(device("GB100").report(NONCE)), "device.architecture"),
        (reporting(GPU.report(NONCE, key=ec.generate_private_key(ec.SECP384R1()))), "device.signature"),
        (reporting(HIERARCHY.device().report(NONCE)), "device.signature"),
        (reporting(GPU.report(NONCE, fields={layout.FEATURE_FLAG: b"\x07"})), "device.mode"),
        (reporting(GPU.report(NONCE, fields={layout.FWID: bytes(48)})), "device.fwid"),
        (reporting(GPU.report(NONCE, fields={layout.FWID: None})), "device.fwid"),
        (reporting(GPU.report(NONCE, measured={7: bytes(48)})), "device.measurements"),
        (reporting(GPU.report(NONCE, measured={1: b"debug" + bytes(43)})), "device.measurements"),  # debug firmware measures something else
        (reporting(GPU.report(NONCE, fields={layout.DRIVER_VERSION: b"550.90.08\x00"})), "rim.version"),
    ],
)
def test_a_device_with_one_defect(evidence: NvidiaEvidence, check: str) -> None:
    assert refusal(evidence, ENDORSED).check == check


def test_a_device_of_another_root() -> None:
    other = mint.create(NOW).device()
    assert refusal(other.evidence(NONCE), other.collateral(NOW)).check == "device.root"


def test_a_certificate_of_another_factory_beneath_the_genuine_root() -> None:
    forged = mint.create(NOW).device()
    parties = (*forged.parties[:4], HIERARCHY.device_root)
    evidence = NvidiaEvidence(report=forged.report(NONCE), certificate_chain="".join(map(mint.pem, parties)))
    assert refusal(evidence, ENDORSED).check == "device.chain"


@pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 40 * 365 * DAY])
def test_a_device_outside_of_its_certificates_time(now: int) -> None:
    assert refusal(EVIDENCE, ENDORSED, now=now).check == "device.validity"


def test_simulated_hardware_never_passes_for_the_vendors() -> None:
    assert refusal(EVIDENCE, ENDORSED, NvidiaPolicy()).check == "platform.marker"
    unmarked = mint.create(NOW, marked=False).device()
    assert refusal(unmarked.evidence(NONCE), unmarked.collateral(NOW), NvidiaPolicy()).check == "device.root"
    assert refusal(unmarked.evidence(NONCE), unmarked.collateral(NOW), unmarked.hierarchy.policy()).check == "platform.marker"


def test_reference_files_bear_the_marker_too() -> None:
    signer = issue("signer", HIERARCHY.rim_product, start=NOW - DAY, end=NOW + DAY, authority=False)
    file = mint_rim((signer, *HIERARCHY.rim_chain[1:]), references=references(DRIVER_INDICES))
    assert refusal(EVIDENCE, with_driver_rim(file)).check == "platform.marker"
    vendors = msgspec.structs.replace(POLICY, simulated_rim_root_sha256=None)
    assert refusal(EVIDENCE, ENDORSED, vendors).check == "rim.root"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"architectures": ("Blackwell",)}, "device.architecture"),
        ({"devices": ("00",)}, "device.listed"),
        ({"min_driver": "570.0"}, "device.driver"),
        ({"rejected_drivers": ("550.90.07",)}, "device.driver"),
        ({"rejected_vbios": ("96.00.9F.00.01",)}, "device.vbios"),
    ],
)
def test_a_device_that_the_policy_does_not_want(changes: dict[str, object], check: str) -> None:
    assert refusal(EVIDENCE, ENDORSED, HIERARCHY.policy(**changes)).check == check


def test_an_architecture_that_nobody_knows() -> None:
    unknown = mint.create(NOW, "GH100", beside=HIERARCHY)
    alien = unknown.device(extensions=mint.leaf_extensions("GA100", 1, bytes(48)))
    assert refusal(alien.evidence(NONCE), ENDORSED).check == "device.architecture"


@pytest.mark.parametrize("missing", ["driver_rim", "vbios_rim"])
def test_both_reference_files_must_be_there(missing: str) -> None:
    assert refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, **{missing: None})).check == "rim.present"


def test_reference_files_of_other_devices() -> None:
    for wrong in (device("GB100").driver_rim(), GPU.bios_rim(), device("LS_10").bios_rim()):
        assert refusal(EVIDENCE, with_driver_rim(wrong)).check == "rim.version"


def test_a_reference_file_of_a_foreign_hierarchy_that_is_valid_in_itself() -> None:
    foreign = mint.create(NOW).device()
    assert refusal(EVIDENCE, with_driver_rim(foreign.driver_rim())).check == "rim.root"
    adopted = mint_rim((*foreign.hierarchy.rim_chain[:3], HIERARCHY.rim_root), references=references(DRIVER_INDICES))
    assert refusal(EVIDENCE, with_driver_rim(adopted)).check == "rim.chain"


def test_a_reference_file_by_another_key_than_its_certificates() -> None:
    stranger = mint.create(NOW).rim_signer
    file = mint_rim((stranger, *HIERARCHY.rim_chain[1:]), references=references(DRIVER_INDICES), chain=HIERARCHY.rim_chain)
    assert refusal(EVIDENCE, with_driver_rim(file)).check == "rim.signature"


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)])
def test_a_signer_who_has_ended_or_not_begun(days: tuple[int, int]) -> None:
    out_of_time = mint.create(NOW, beside=HIERARCHY, signer_days=days)
    file = mint_rim(out_of_time.rim_chain, references=references(DRIVER_INDICES))
    assert refusal(EVIDENCE, with_driver_rim(file)).check == "rim.validity"


def test_a_reference_file_that_describes_the_other_ones_measurements() -> None:
    file = mint_rim(HIERARCHY.rim_chain, references=references([1, *DRIVER_INDICES]))
    assert refusal(EVIDENCE, with_driver_rim(file)).check == "rim.disjoint"


def test_revocation() -> None:
    without = msgspec.structs.replace(ENDORSED, ocsp=())
    assert refusal(EVIDENCE, without).check == "ocsp.present"
    assert judge(EVIDENCE, without, WITHOUT_OCSP).valid_until == NOW + 365 * DAY  # the signer's end
    assert refusal(EVIDENCE, ENDORSED, now=NOW + 23 * 3600).check == "ocsp.present"
    assert refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(*ENDORSED.ocsp, b"?"))).check == "ocsp.format"
    other = mint.answer(device("GB100").chip, device("GB100").hierarchy.provisioner, NOW)
    assert refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(*ENDORSED.ocsp, other))).check == "ocsp.responder"


@pytest.mark.parametrize("policy", [POLICY, WITHOUT_OCSP])
def test_a_chip_on_hold_is_refused_whatever_the_policy_asks(policy: NvidiaPolicy) -> None:
    on_hold = mint.answer(GPU.chip, HIERARCHY.provisioner, NOW, status=x509_ocsp.OCSPCertStatus.REVOKED, reason=x509.ReasonFlags.certificate_hold)
    refused = refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(*ENDORSED.ocsp, on_hold)), policy)
    assert (refused.check, refused.got) == ("ocsp.status", "chip certificate revoked (certificateHold)")


def test_stale_answers_do_no_harm_where_none_is_demanded() -> None:
    judge(EVIDENCE, ENDORSED, WITHOUT_OCSP, now=NOW + 2 * DAY)
    judge(EVIDENCE, ENDORSED, WITHOUT_OCSP, now=NOW + 100 * DAY)  # by now the responders have ended too


def test_a_stale_answer_that_says_revoked_is_heard_all_the_same() -> None:
    stale = mint.answer(GPU.chip, HIERARCHY.provisioner, NOW, status=x509_ocsp.OCSPCertStatus.REVOKED, hours=(-48, -24))
    assert refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(*ENDORSED.ocsp, stale)), WITHOUT_OCSP).check == "ocsp.status"


def test_where_answers_are_demanded_a_stale_one_is_judged_too() -> None:
    other = mint.answer(device("GB100").chip, device("GB100").hierarchy.provisioner, NOW, hours=(-48, -24))
    assert refusal(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(*ENDORSED.ocsp, other))).check == "ocsp.responder"
    judge(EVIDENCE, msgspec.structs.replace(ENDORSED, ocsp=(other,)), WITHOUT_OCSP)


def test_protected_pcie_is_said() -> None:
    report = GPU.report(NONCE, fields={layout.PROTECTED_PCIE: b"\xaa", layout.FEATURE_FLAG: b"\x02\x00"})
    facts = judge(reporting(report), ENDORSED)
    assert facts.facts["mode"] == "protected-pcie"
    assert "links between GPUs are not encrypted" in facts.warnings[0]


def test_measurements_that_no_file_describes_are_said() -> None:
    facts = judge(reporting(GPU.report(NONCE, measured={50: b"\x01" * 48})), ENDORSED)
    assert facts.warnings == (f"gpu {facts.device_id}: 1 measurements that no reference file of NVIDIA's describes",)


def test_an_old_drivers_report_has_no_firmware_digest() -> None:
    file = mint_rim(HIERARCHY.rim_chain, version="545.00", references=references(DRIVER_INDICES))
    report = GPU.report(NONCE, fields={layout.DRIVER_VERSION: b"545.00\x00", layout.FWID: None})
    facts = judge(reporting(report), with_driver_rim(file))
    assert "doesn't state its firmware" in facts.warnings[0]


@pytest.mark.parametrize("chip", CHIPS)
def test_what_to_fetch(chip: str) -> None:
    made = device(chip)
    need = appraise.collateral_need(made.evidence(NONCE))
    assert need.model == {"GH100": "Hopper", "GB100": "Blackwell", "LS_10": "LS10"}[chip]
    assert (need.kind, need.driver_rim_id is None) == (("switch", True) if chip == "LS_10" else ("gpu", False))
    assert need.certificates == tuple(party.der for party in made.parties)


def test_what_to_ask_responders() -> None:
    rims = [file for file in (ENDORSED.driver_rim, ENDORSED.vbios_rim) if file is not None]
    asked = [x509_ocsp.load_der_ocsp_request(request).serial_number for request in appraise.ocsp_requests(EVIDENCE, rims)]
    known = (*GPU.parties[1:4], *HIERARCHY.rim_chain[:3])
    assert asked == [party.certificate.serial_number for party in known]  # each once, though both files have one signer


@pytest.mark.parametrize("evidence", [reporting(b"?"), NvidiaEvidence(report=EVIDENCE.report, certificate_chain="?")])
def test_nothing_to_fetch_for_what_can_not_be_read(evidence: NvidiaEvidence) -> None:
    with pytest.raises(EvidenceRefused):
        appraise.collateral_need(evidence)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize("stride", [37, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(600)])])
def test_no_flipped_byte_of_a_report_is_accepted(stride: int) -> None:
    endorsed = NvidiaCollateral(driver_rim=ENDORSED.driver_rim, vbios_rim=ENDORSED.vbios_rim)
    judge(EVIDENCE, endorsed, WITHOUT_OCSP)
    for at in range(0, len(EVIDENCE.report), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(EVIDENCE.report)
            flipped[at] ^= mask
            assert refusal(reporting(bytes(flipped)), endorsed, WITHOUT_OCSP).check in ("device.format", "device.architecture", "device.signature")
