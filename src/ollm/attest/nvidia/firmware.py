"""What a report says of the firmware and driver, and the names of NVIDIA's reference files for them.

NVIDIA's RIM service keeps one file for each driver of a chip and one for each VBIOS of a board. The names are not signed: a file is
believed for its own signed content, and that must state the very version.

    NV_GPU_DRIVER_GH100_<driver>, NV_GPU_CC_DRIVER_<chip>_<driver>       Hopper, Blackwell
    NV_GPU_VBIOS_<project>_<project SKU>_<chip SKU>_<VBIOS without dots>
    NV_SWITCH_BIOS_5612_0002_890_<BIOS without dots>                      LS10: a switch doesn't report its board

Source: NVIDIA attestation SDK, GpuEvidence::AttestationReport::get_driver_rim_id, get_vbios_version, get_vbios_rim_id and
SwitchEvidence's; modes: OpaqueDataFeatureFlag there.
"""

import re

import msgspec

from ollm.attest.nvidia import layout
from ollm.attest.nvidia.chain import Device
from ollm.attest.nvidia.layout import Report
from ollm.errors import EvidenceRefused

_VERSION = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")
_BIOS = re.compile(r"[0-9A-F]{2}(\.[0-9A-F]{2}){4}")
_SWITCH_BOARD = "5612_0002_890"  # the one LS10 board: NVIDIA attestation SDK, SwitchArchitectureData
_GPU_BIOS_SIZE = 8

# Feature flag of opaque data: how GPUs are passed through to a virtual machine.
MODES = {0: "single-gpu", 1: "multi-gpu", 2: "protected-pcie"}
_PROTECTED_PCIE = {b"\x55": False, b"\xaa": True}


class Firmware(msgspec.Struct, frozen=True):
    """What runs on a device, by its own word: proven only where measurements equal NVIDIA's reference values for these versions."""

    driver: str | None  # a switch has none of its own
    vbios: str
    driver_rim_id: str | None
    vbios_rim_id: str
    mode: str | None  # None: the report doesn't say


def read(report: Report, device: Device) -> Firmware:
    """Versions, ids and mode of a report of `device`. Raises: EvidenceRefused with device.format or device.mode."""
    if device.kind == "switch":
        bios = _version(report.name(layout.VBIOS_VERSION, "BIOS version").upper(), _BIOS, "BIOS version")
        return Firmware(None, bios, None, f"NV_SWITCH_BIOS_{_SWITCH_BOARD}_{bios.replace('.', '')}", None)
    driver = _version(report.name(layout.DRIVER_VERSION, "driver version"), _VERSION, "driver version")
    vbios = _gpu_bios(report.opaque.get(layout.VBIOS_VERSION, b""))
    board = "_".join(
        report.name(kind, what).upper()
        for kind, what in ((layout.PROJECT, "project"), (layout.PROJECT_SKU, "project SKU"), (layout.CHIP_SKU, "chip SKU"))
    )
    prefix = "NV_GPU_DRIVER" if device.model == "Hopper" else "NV_GPU_CC_DRIVER"
    return Firmware(driver, vbios, f"{prefix}_{device.chip}_{driver}", f"NV_GPU_VBIOS_{board}_{vbios.replace('.', '')}", _mode(report.opaque))


def _gpu_bios(field: bytes) -> str:
    """Eight bytes, least significant first: one of the version's last part and three zeros stand above the four of the others."""
    if len(field) != _GPU_BIOS_SIZE or any(field[5:]):
        raise EvidenceRefused("device.format", f"VBIOS version {field[:40].hex() or 'missing'}", "4 bytes, 1 byte and 3 zeros")
    return ".".join(f"{byte:02X}" for byte in (*reversed(field[:4]), field[4]))


def _version(text: str, pattern: re.Pattern[str], what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise EvidenceRefused("device.format", f"{what} {text!a}", "numbers and dots")
    return text


def _mode(opaque: dict[int, bytes]) -> str | None:
    """How the GPU is passed through, from whichever field says so: old drivers have none, newer ones one, the newest both."""
    flag, protected = opaque.get(layout.FEATURE_FLAG), opaque.get(layout.PROTECTED_PCIE)
    mode = None if flag is None else MODES.get(int.from_bytes(flag, "little"))
    if flag is not None and mode is None:
        raise EvidenceRefused("device.mode", f"feature flag {flag[:8].hex()}", "one that is known")
    if protected is None:
        return mode
    if protected not in _PROTECTED_PCIE or (mode is not None and _PROTECTED_PCIE[protected] != (mode == "protected-pcie")):
        raise EvidenceRefused("device.mode", f"protected PCIe {protected[:8].hex()} in mode {mode}", "aa with that mode, 55 without")
    return "protected-pcie" if _PROTECTED_PCIE[protected] else mode
