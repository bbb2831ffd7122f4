"""Which genuine devices are wanted, and whether they run what NVIDIA's reference files describe. Each function is one check.

What the measurements prove: NVIDIA measures firmware, its configuration and fuses into them, debug state included, and publishes values
only for production parts in the modes it supports. A report has no field of its own that says "secure boot" or "debug": whoever claims
these (NVIDIA's own tools too) concludes them from all active values being equal, as is done here.
"""

import hmac
from collections.abc import Sequence

from ollm.attest.nvidia.chain import Device
from ollm.attest.nvidia.firmware import Firmware
from ollm.attest.nvidia.layout import Report
from ollm.attest.nvidia.rim import Rim
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy

_FIRST_DRIVER_WITH_FWID = (550,)  # reports of Hopper have the field since the first generally available release; Blackwell's always


def check_architecture(device: Device, policy: NvidiaPolicy) -> None:
    """A GPU is of an architecture that the policy lists; of switches there is one. Raises: EvidenceRefused with device.architecture."""
    if device.kind == "gpu" and device.model not in policy.architectures:
        raise EvidenceRefused("device.architecture", device.model, " or ".join(policy.architectures) or "none")


def check_listed(device: Device, policy: NvidiaPolicy) -> None:
    """The device is one that the policy lists, by the serial number of its leaf or of its chip. Raises: EvidenceRefused."""
    if policy.devices is not None and not {device.serial, device.chip_serial} & {serial.lower() for serial in policy.devices}:
        raise EvidenceRefused("device.listed", f"device {device.serial} with chip {device.chip_serial}", "one that the policy lists")


def check_nonce(report: Report, nonce: bytes | None) -> None:
    """The report was made for our nonce. Raises: EvidenceRefused with device.nonce, also where none of ours is known."""
    if nonce is None or not hmac.compare_digest(report.nonce, nonce):
        raise EvidenceRefused("device.nonce", report.nonce.hex(), nonce.hex() if nonce is not None else "a nonce of ours")


def demanded_fwid(report_fwid: bytes | None, device: Device, firmware: Firmware) -> None:
    """The report states its firmware's digest, where reports of its kind do. Raises: EvidenceRefused with device.fwid."""
    old = device.model == "Hopper" and firmware.driver is not None and _numbers(firmware.driver, "device.driver") < _FIRST_DRIVER_WITH_FWID
    if report_fwid is None and device.kind == "gpu" and not old:
        raise EvidenceRefused(
            "device.fwid", "a report that doesn't state its firmware", "the digest of the firmware, as the device's certificate has it"
        )


def check_driver(firmware: Firmware, policy: NvidiaPolicy) -> None:
    """The driver is not older than the policy's floor and not one that it rejects. Raises: EvidenceRefused with device.driver."""
    if firmware.driver is None:
        return
    if firmware.driver in policy.rejected_drivers:
        raise EvidenceRefused("device.driver", firmware.driver, "one that the policy doesn't reject")
    if policy.min_driver is not None and _numbers(firmware.driver, "device.driver") < _numbers(policy.min_driver, "device.driver"):
        raise EvidenceRefused("device.driver", firmware.driver, f"at least {policy.min_driver}")


def check_vbios(firmware: Firmware, policy: NvidiaPolicy) -> None:
    """The VBIOS is not one that the policy rejects. Raises: EvidenceRefused with device.vbios."""
    if firmware.vbios in {version.upper() for version in policy.rejected_vbios}:
        raise EvidenceRefused("device.vbios", firmware.vbios, "one that the policy doesn't reject")


def check_rim_version(rim: Rim, device: Device, version: str) -> None:
    """A reference file is for this kind of device, this chip and this very version. Raises: EvidenceRefused with rim.version.

    Blackwell's chips share files within their family, so of its name only the family is compared; boards are not named in any file.
    """
    edition = "SWITCH" if device.kind == "switch" else "GPU"
    product = rim.product.startswith("GB") if device.model == "Blackwell" else rim.product == device.chip
    if rim.edition != edition or not product or rim.version.upper() != version:
        got = f"{rim.name} for {rim.edition[:16]!a} {rim.product[:16]!a} {rim.version[:32]!a}"
        raise EvidenceRefused("rim.version", got, f"for {edition} {device.chip} {version}")


def check_disjoint(rims: Sequence[Rim]) -> None:
    """No measurement is described by two files, so that neither can excuse what the other demands. Raises: EvidenceRefused."""
    indices = [reference.index for rim in rims for reference in rim.references]
    twice = next((index for index in indices if indices.count(index) > 1), None)
    if twice is not None:
        raise EvidenceRefused("rim.disjoint", f"measurement {twice} in two files", "each in one")


def check_measurements(report: Report, rims: Sequence[Rim]) -> tuple[int, int]:
    """Every active reference value is the device's. Raises: EvidenceRefused with device.measurements.

    Returns how many were judged, and how many other measurements the device made (not all zero) that no file describes: NVIDIA leaves
    those out where they differ from part to part, so they prove nothing either way.
    """
    differing: list[int] = []
    judged: set[int] = set()
    for reference in (reference for rim in rims for reference in rim.references):
        judged.add(reference.index)
        measured = report.measurements[reference.index] if reference.index < len(report.measurements) else None
        if measured not in reference.values:
            differing.append(reference.index)
    if differing:
        shown = ", ".join(str(index) for index in sorted(differing)[:16])
        raise EvidenceRefused("device.measurements", f"{len(differing)} other than NVIDIA's: {shown}", "all equal")
    return len(judged), sum(any(value) for index, value in enumerate(report.measurements) if index not in judged)


def _numbers(version: str, check: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        raise EvidenceRefused(check, f"version {version[:40]!a}", "numbers and dots") from None
