"""Which devices are wanted, by what NVIDIA's attestation service says of them. Each function is one check, over all devices.

The service has compared each device's report with NVIDIA's reference values and says so claim by claim. Its overall result alone does
not do: it leaves out secure boot and debug mode. So every claim that stands for a step of the verification must be there and be good;
one that is absent was not made. Claims that are new to us decide nothing.

Source: NVIDIA Attestation, claims guide, GPU claims and nvSwitch claims, versions 2.0 (one flag for a chain) and 3.0 (an object for it).
"""

import re
from typing import Any

import msgspec

from ollm.attest.tokens import nras
from ollm.attest.tokens.jws import Token
from ollm.attest.tokens.nras import Bundle
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy

_REPORT = ("arch-check", "attestation-report-parsed", "attestation-report-nonce-match", "attestation-report-signature-verified")
_RIM = ("rim-fetched", "rim-schema-validated", "rim-signature-verified", "rim-measurements-available")
_RIMS = {"gpu": ("driver", "vbios"), "switch": ("bios",)}
_FIRMWARE = {"gpu": "x-nvidia-gpu-vbios-version", "switch": "x-nvidia-switch-bios-version"}
_DRIVER = "x-nvidia-gpu-driver-version"
_TYPES = {"gpu": "gpu", "switch": "nvswitch"}
_OCSP_FLAGS = ("x-nvidia-cert-ocsp-nonce-matches", "x-nvidia-cert-ocsp-response-valid")  # said by newer services; false where said is bad
_WARNING = "x-nvidia-attestation-warning"

# hwmodel is the name of the chip, or the common name of a certificate that begins with it: "GH100", "GB100 A01 GSP BROM", "LS_10 A01 FSP BROM".
_ARCHITECTURES = (
    ("gpu", re.compile(r"GH1\d\d( .*)?"), "Hopper"),
    ("gpu", re.compile(r"GB[12]\d[0-9X]( .*)?"), "Blackwell"),
    ("switch", re.compile(r"LS_?10( .*)?"), "LS10"),
)
_UEID = re.compile(r"[1-9]\d{0,59}")  # the serial number of the device's certificate, decimal: at most 20 octets (RFC 5280 §4.1.2.2)
_VERSION = re.compile(r"\d{1,5}(\.\d{1,5}){1,3}")
_FIRMWARE_VERSION = re.compile(r"[0-9A-Fa-f]{1,4}(\.[0-9A-Fa-f]{1,4}){1,7}")


class Device(msgspec.Struct, frozen=True):
    """What a device is, in the words of its token."""

    token: Token
    kind: str  # gpu or switch
    architecture: str
    device_id: str  # serial number of its certificate, lowercase hex
    hwmodel: str
    firmware: str
    driver: str | None  # a switch has none


def check_accepted(policy: NvidiaPolicy) -> None:
    """The policy takes the service's word for a report. Raises: EvidenceRefused with nras.accepted."""
    if "nras" not in policy.accept:
        raise EvidenceRefused("nras.accepted", "a token of NVIDIA's attestation service", " or ".join(policy.accept) or "nothing")


def check_result(bundle: Bundle) -> str:
    """The service says that the whole went well; returns the version of its claims. Raises: EvidenceRefused with nras.result."""
    claims = bundle.overall.claims
    version = claims.get("x-nvidia-ver")
    if claims.get("sub") != nras.SUBJECT or version not in nras.VERSIONS:
        raise EvidenceRefused("nras.result", f"claims of version {str(version)[:40]!a}", f"{nras.SUBJECT} of version {' or '.join(nras.VERSIONS)}")
    if claims.get("x-nvidia-overall-att-result") is not True:
        raise EvidenceRefused("nras.result", f"overall result {_said(claims, 'x-nvidia-overall-att-result')}{_reason(bundle)}", "true")
    return str(version)


def _reason(bundle: Bundle) -> str:
    """What the service wrote into the first device's token in place of claims, when it refused the report."""
    details = bundle.devices[0].claims.get("x-nvidia-error-details")
    message = details.get("message") if isinstance(details, dict) else None
    return f" ({bundle.devices[0].name}: {message[:40]!a})" if isinstance(message, str) else ""


def check_verification(bundle: Bundle, version: str) -> None:
    """Each step of the service's verification of each device was made and was good. Raises: EvidenceRefused with nras.verification."""
    for token in bundle.devices:
        for name in _flags(nras.kind(token), version):
            if token.claims.get(name) is not True:
                raise EvidenceRefused("nras.verification", f"{token.name}: {name} {_said(token.claims, name)}", "true")
        if version == "3.0":
            for name in _chains(nras.kind(token)):
                _check_chain(token, name)
        if token.claims.get("x-nvidia-device-type", _TYPES[nras.kind(token)]) != _TYPES[nras.kind(token)]:
            raise EvidenceRefused("nras.verification", f"{token.name} about a device of another type", _TYPES[nras.kind(token)])


def _flags(kind: str, version: str) -> list[str]:
    """The claims that must be true of a device of this kind."""
    names = [*_REPORT, *(f"{rim}-{step}" for rim in _RIMS[kind] for step in _RIM)]
    if kind == "gpu":
        names.append("vbios-index-no-conflict")
    if version == "2.0":
        names += ["attestation-report-cert-chain-validated", *(f"{rim}-rim-cert-validated" for rim in _RIMS[kind])]
    else:
        names += ["attestation-report-cert-chain-fwid-match", *(f"{rim}-rim-version-match" for rim in _RIMS[kind])]
    return [f"x-nvidia-{kind}-{name}" for name in names]


def _chains(kind: str) -> list[str]:
    return [f"x-nvidia-{kind}-{name}-cert-chain" for name in ("attestation-report", *(f"{rim}-rim" for rim in _RIMS[kind]))]


def _check_chain(token: Token, name: str) -> None:
    chain = token.claims.get(name)
    if not isinstance(chain, dict):
        raise EvidenceRefused("nras.verification", f"{token.name}: {name} absent", "a valid chain")
    for member, good in (("x-nvidia-cert-status", "valid"), ("x-nvidia-cert-ocsp-status", "good")):
        if chain.get(member) != good:
            raise EvidenceRefused("nras.verification", f"{token.name}: {member} of {name} {_said(chain, member)}", good)
    if any(chain.get(member, True) is not True for member in _OCSP_FLAGS):
        raise EvidenceRefused("nras.verification", f"{token.name}: {name} with an unsound OCSP answer", "a valid one for its nonce")


def check_measurements(bundle: Bundle) -> None:
    """Each device's measurements equal NVIDIA's reference values. Raises: EvidenceRefused with nras.measurements."""
    for token in bundle.devices:
        if token.claims.get("measres") != "success" or token.claims.get("x-nvidia-mismatch-measurement-records"):
            raise EvidenceRefused("nras.measurements", f"{token.name}: measres {_said(token.claims, 'measres')}", "success")


def check_secure_boot(bundle: Bundle) -> None:
    """Each device started signed firmware only. Raises: EvidenceRefused with nras.secure_boot."""
    for token in bundle.devices:
        if token.claims.get("secboot") is not True:
            raise EvidenceRefused("nras.secure_boot", f"{token.name}: secboot {_said(token.claims, 'secboot')}", "true")


def check_debug(bundle: Bundle) -> None:
    """No device can be read through its debug port. Raises: EvidenceRefused with nras.debug."""
    for token in bundle.devices:
        if token.claims.get("dbgstat") != "disabled":
            raise EvidenceRefused("nras.debug", f"{token.name}: dbgstat {_said(token.claims, 'dbgstat')}", "disabled")


def check_warning(bundle: Bundle, policy: NvidiaPolicy) -> dict[str, str]:
    """The service has nothing to warn of, such as a certificate on hold. Returns warnings by device, where the policy asks for no OCSP.

    Raises: EvidenceRefused with nras.warning.
    """
    found = {token.name: ascii(token.claims[_WARNING])[:80] for token in bundle.devices if token.claims.get(_WARNING) is not None}
    if found and policy.require_ocsp:
        name, text = next(iter(found.items()))
        raise EvidenceRefused("nras.warning", f"{name}: {text}", "no warning")
    return found


def devices(bundle: Bundle) -> tuple[Device, ...]:
    """What each device is; no device twice. Raises: EvidenceRefused with nras.device."""
    found = tuple(_device(token) for token in bundle.devices)
    ids = [device.device_id for device in found]
    for device in found:
        if ids.count(device.device_id) > 1:
            raise EvidenceRefused("nras.device", f"{device.token.name}: ueid {device.device_id} twice", "each device once")
    return found


def _device(token: Token) -> Device:
    kind = nras.kind(token)
    hwmodel, ueid = _text(token, "hwmodel"), _text(token, "ueid")
    architecture = next((name for of, pattern, name in _ARCHITECTURES if of == kind and pattern.fullmatch(hwmodel)), None)
    if architecture is None:
        raise EvidenceRefused("nras.device", f"{token.name}: hwmodel {hwmodel[:40]!a}", f"a {kind} of an architecture that is known")
    if not _UEID.fullmatch(ueid):
        raise EvidenceRefused("nras.device", f"{token.name}: ueid {ueid[:80]!a}", "a serial number")
    firmware = _text(token, _FIRMWARE[kind])
    if not _FIRMWARE_VERSION.fullmatch(firmware):
        raise EvidenceRefused("nras.device", f"{token.name}: {_FIRMWARE[kind]} {firmware[:40]!a}", "a version")
    driver = _text(token, _DRIVER) if kind == "gpu" else None
    if driver is not None and not _VERSION.fullmatch(driver):
        raise EvidenceRefused("nras.device", f"{token.name}: {_DRIVER} {driver[:40]!a}", "a version")
    return Device(token, kind, architecture, f"{int(ueid):x}", hwmodel, firmware, driver)


def check_architecture(found: tuple[Device, ...], policy: NvidiaPolicy) -> None:
    """Each GPU is of an architecture that the policy lists. Raises: EvidenceRefused with nras.architecture."""
    for device in found:
        if device.kind == "gpu" and device.architecture not in policy.architectures:
            raise EvidenceRefused("nras.architecture", f"{device.token.name}: {device.architecture}", " or ".join(policy.architectures) or "none")


def check_driver(found: tuple[Device, ...], policy: NvidiaPolicy) -> None:
    """No GPU runs a driver that the policy rejects or that is older than its minimum. Raises: EvidenceRefused with nras.driver."""
    for device in found:
        if device.driver is None:
            continue
        if device.driver in policy.rejected_drivers:
            raise EvidenceRefused("nras.driver", f"{device.token.name}: driver {device.driver}", "none that the policy rejects")
        if policy.min_driver is not None and _numbers(device.driver) < _numbers(policy.min_driver):
            raise EvidenceRefused("nras.driver", f"{device.token.name}: driver {device.driver}", f"at least {policy.min_driver}")


def check_firmware(found: tuple[Device, ...], policy: NvidiaPolicy) -> None:
    """No device has a VBIOS (of a switch: BIOS) that the policy rejects. Raises: EvidenceRefused with nras.vbios."""
    rejected = {version.upper() for version in policy.rejected_vbios}
    for device in found:
        if device.firmware.upper() in rejected:
            raise EvidenceRefused("nras.vbios", f"{device.token.name}: VBIOS {device.firmware}", "none that the policy rejects")


def check_listed(found: tuple[Device, ...], policy: NvidiaPolicy) -> None:
    """Each device is one that the policy lists by its leaf certificate, if it lists any; the chip's own serial number is in no token.

    Raises: EvidenceRefused with nras.listed.
    """
    if policy.devices is None:
        return
    listed = {serial.lower() for serial in policy.devices}
    for device in found:
        if device.device_id not in listed:
            raise EvidenceRefused("nras.listed", f"{device.token.name}: {device.device_id}", "a device that the policy lists")


def _numbers(version: str) -> tuple[int, ...]:
    """`version` as numbers, which is how NVIDIA orders drivers: 550.90.07 is older than 550.144.03."""
    if not _VERSION.fullmatch(version):
        raise EvidenceRefused("nras.driver", "a policy whose min_driver is no version", "numbers and dots, for example 550.90.07")
    return tuple(int(part) for part in version.split("."))


def _text(token: Token, name: str) -> str:
    value = token.claims.get(name)
    if not isinstance(value, str):
        raise EvidenceRefused("nras.device", f"{token.name}: {name} {_said(token.claims, name)}", "text")
    return value


def _said(claims: dict[str, Any], name: str) -> str:
    """What `claims` say of `name`, for people, cut."""
    return ascii(claims[name])[:40] if name in claims else "absent"
