"""The steps of appraising one NVIDIA GPU or switch by its own report."""

from collections.abc import Sequence

import msgspec
from cryptography import x509

from ollm.attest import certificates
from ollm.attest.certificates import Period
from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.facts import DeviceFacts
from ollm.attest.nvidia import chain, firmware, fwid, layout, ocsp, rim, wanted
from ollm.attest.nvidia.chain import Device
from ollm.attest.nvidia.checks import CHECKS, OCSP_CHECKS, RIM_CHECKS
from ollm.attest.nvidia.firmware import Firmware
from ollm.values.policy import NvidiaPolicy

PLAN = tuple(CHECKS)
RIM_PLAN = tuple(RIM_CHECKS)
DRIVER_RIM = "driver RIM"
VBIOS_RIM = "VBIOS RIM"


class NvidiaNeed(msgspec.Struct, frozen=True):
    """Which collateral a report calls for. Nothing is verified yet: names for files, certificates to ask responders about."""

    kind: str  # gpu or switch
    model: str
    driver_rim_id: str | None  # None: a switch has no driver of its own
    vbios_rim_id: str
    certificates: tuple[bytes, ...]  # DER of the device's chain, leaf first


def collateral_need(evidence: NvidiaEvidence) -> NvidiaNeed:
    """What to fetch before `genuine_device`. Raises: EvidenceRefused when the evidence can't even be read."""
    device_chain = chain.load_device_chain(evidence.certificate_chain)
    device = chain.identify(device_chain)
    runs = firmware.read(layout.parse_report(evidence.report), device)
    return NvidiaNeed(device.kind, device.model, runs.driver_rim_id, runs.vbios_rim_id, tuple(chain.der(each) for each in device_chain))


def ocsp_requests(evidence: NvidiaEvidence, rims: Sequence[bytes]) -> tuple[bytes, ...]:
    """DER of the questions for NVIDIA's responder: one for each certificate that it answers for, each once.

    Raises: EvidenceRefused when evidence or a file can't even be read.
    """
    links = list(ocsp.device_links(chain.load_device_chain(evidence.certificate_chain)))
    for data in rims:
        document = rim.parse(data, "RIM")
        links += ocsp.signer_links(document.chain, document.signer_names)
    return tuple({link.key: ocsp.request(link) for link in links}.values())


def plan(policy: NvidiaPolicy, *, nonce: bool = True) -> tuple[str, ...]:
    """Names of the checks that this policy demands of a device, in order; `nonce`: it was asked with one that we know."""
    optional = {"device.nonce": nonce, **dict.fromkeys(OCSP_CHECKS, policy.require_ocsp)}
    return tuple(name for name in PLAN if optional.get(name, True))


def genuine_device(
    trail: Trail, evidence: NvidiaEvidence, collateral: NvidiaCollateral, policy: NvidiaPolicy, now: int, *, nonce: bytes | None
) -> DeviceFacts:
    """A genuine device in a wanted state at `now` (Unix seconds). Raises: EvidenceRefused."""
    # 1. Read every byte of the report, and the certificates.
    report = trail.step("device.format", layout.parse_report, evidence.report)
    device_chain = trail.step("device.certificates", chain.load_device_chain, evidence.certificate_chain)

    # 2. The one kind of hardware, and the one root, that the policy admits; from there down to the key that signed.
    root = chain.device_root(policy)
    trail.step("platform.marker", certificates.check_marker, device_chain[0], simulated=root.simulated)
    trail.step("device.root", chain.check_root, device_chain, root, "device.root")
    trail.step("device.chain", chain.check_chain, device_chain, chain.DEVICE_NAMES, "device.chain")
    periods = chain.periods(device_chain, chain.DEVICE_NAMES, "device.validity")
    trail.step("device.validity", certificates.check_periods, periods, now, "device.validity")
    device = trail.step("device.architecture", _wanted_device, device_chain, report, policy)
    trail.step("device.signature", chain.check_signature, report, device_chain[0])

    # 3. It is fresh, one of ours, and runs firmware that was certified and that the policy doesn't reject.
    if "device.nonce" in trail:
        trail.step("device.nonce", wanted.check_nonce, report, nonce)
    trail.step("device.listed", wanted.check_listed, device, policy)
    runs = trail.step("device.mode", firmware.read, report, device)
    trail.step("device.fwid", _check_fwid, report, device_chain[0], device, runs)
    trail.step("device.driver", wanted.check_driver, runs, policy)
    trail.step("device.vbios", wanted.check_vbios, runs, policy)

    # 4. NVIDIA's files for these versions are genuine, and describe everything that it measured of them.
    wanted_files = ((DRIVER_RIM, runs.driver, collateral.driver_rim), (VBIOS_RIM, runs.vbios, collateral.vbios_rim))
    files = tuple((name, version, data) for name, version, data in wanted_files if version is not None)
    documents = read_rims(trail, [(name, data) for name, _, data in files])
    rims = genuine_rims(trail, documents, policy, now)
    trail.step("rim.version", _check_versions, rims, device, [version for _, version, _ in files])
    trail.step("rim.disjoint", wanted.check_disjoint, rims)
    judged, unjudged = trail.step("device.measurements", wanted.check_measurements, report, rims)

    # 5. None of the certificates was revoked.
    answers = _judge_answers(trail, collateral.ocsp, device_chain, documents, policy, now)

    signers = [period for document in documents for period in chain.periods(document.chain, document.signer_names, "rim.validity")]
    return DeviceFacts(
        kind=device.kind,
        model=device.model,
        identity=report.identity,
        device_id=device.serial,
        nonce=report.nonce,
        facts=_facts(device, runs, rims, judged, unjudged),
        warnings=_warnings(device, runs, unjudged, states_firmware=layout.FWID in report.opaque),
        valid_until=min(period.end for period in (*periods, *signers, *answers)),
    )


def read_rims(trail: Trail, files: Sequence[tuple[str, bytes | None]]) -> tuple[rim.Document, ...]:
    """Reference files, by name and bytes, of the right form. Raises: EvidenceRefused."""
    documents = tuple(rim.parse(data, name) for name, data in files)
    trail.passed("rim.present", "rim.format")
    return documents


def genuine_rims(trail: Trail, documents: Sequence[rim.Document], policy: NvidiaPolicy, now: int) -> tuple[rim.Rim, ...]:
    """What those files say, after root, chain, validity and signature of each. Raises: EvidenceRefused."""
    root = chain.rim_root(policy)
    for document in documents:
        chain.check_root(document.chain, root, "rim.root")
        certificates.check_marker(document.chain[0], simulated=root.simulated)
        chain.check_chain(document.chain, document.signer_names, "rim.chain")
        certificates.check_periods(chain.periods(document.chain, document.signer_names, "rim.validity"), now, "rim.validity")
    trail.passed("rim.root", "rim.chain", "rim.validity")
    rims = tuple(rim.verify(document) for document in documents)
    trail.passed("rim.signature")
    return rims


def _wanted_device(device_chain: Sequence[x509.Certificate], report: layout.Report, policy: NvidiaPolicy) -> Device:
    device = chain.identify(device_chain)
    wanted.check_architecture(device, policy)
    chain.check_report(report, device)
    return device


def _check_fwid(report: layout.Report, leaf: x509.Certificate, device: Device, runs: Firmware) -> None:
    stated = report.opaque.get(layout.FWID)
    wanted.demanded_fwid(stated, device, runs)
    fwid.check_fwid(stated, fwid.leaf_fwid(leaf))


def _check_versions(rims: Sequence[rim.Rim], device: Device, versions: Sequence[str]) -> None:
    for each, version in zip(rims, versions, strict=True):
        wanted.check_rim_version(each, device, version)


def _judge_answers(
    trail: Trail,
    responses: Sequence[bytes],
    device_chain: Sequence[x509.Certificate],
    documents: Sequence[rim.Document],
    policy: NvidiaPolicy,
    now: int,
) -> tuple[Period, ...]:
    links = [*ocsp.device_links(device_chain)]
    for document in documents:
        links += ocsp.signer_links(document.chain, document.signer_names)
    # Where none is required, one that said "good" and has ended is as good as none; one that says otherwise is judged all the same.
    answers = [
        answer
        for answer in ocsp.parse(responses)
        if policy.require_ocsp or answer.revoked is not None or answer.period.start <= now < answer.period.end
    ]
    found = ocsp.check_responders(answers, links, now)
    ocsp.check_status(found)
    periods = ocsp.check_present(found, links, now) if policy.require_ocsp else ()
    trail.passed(*OCSP_CHECKS)
    return periods


def _facts(device: Device, runs: Firmware, rims: Sequence[rim.Rim], judged: int, unjudged: int) -> dict[str, str]:
    facts = {
        "chip": device.chip,
        "chip_serial": device.chip_serial,
        "vbios": runs.vbios,
        "vbios_rim": runs.vbios_rim_id,
        "measurements": f"{judged} equal to NVIDIA's reference values, {unjudged} without one",
    }
    optional = {"driver": runs.driver, "driver_rim": runs.driver_rim_id, "mode": runs.mode}
    files = {f"{each.name.split()[0].lower()}_rim_sha256": str(each.identity) for each in rims}
    return {**facts, **{name: value for name, value in optional.items() if value is not None}, **files}


def _warnings(device: Device, runs: Firmware, unjudged: int, *, states_firmware: bool) -> tuple[str, ...]:
    warnings = []
    if device.kind == "gpu" and not states_firmware:
        warnings.append(f"GPU {device.serial}: driver {runs.driver} is so old that its report doesn't state its firmware")
    if runs.mode == "protected-pcie":
        warnings.append(f"GPU {device.serial}: protected PCIe, so links between GPUs are not encrypted; its switches must be attested too")
    if unjudged:
        warnings.append(f"{device.kind} {device.serial}: {unjudged} measurements that no reference file of NVIDIA's describes")
    return tuple(warnings)
