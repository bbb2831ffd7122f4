"""The steps of appraising devices by the word of NVIDIA's attestation service, in a token, instead of by their own reports.

What it rests on: NVIDIA's service saw the reports and says that they are genuine and in order. We see what it says and that it said so,
lately and for our nonce; the reports themselves are not looked at.
"""

from ollm.attest.certificates import Period, check_periods
from ollm.attest.checks import Trail
from ollm.attest.evidence import NrasCollateral, NrasEvidence
from ollm.attest.facts import DeviceFacts
from ollm.attest.tokens import jws, keys, nras, wanted
from ollm.attest.tokens.checks import CHECKS
from ollm.values.policy import NvidiaPolicy

PLAN = tuple(CHECKS)


def plan(policy: NvidiaPolicy) -> tuple[str, ...]:
    """Names of the checks of a bundle of tokens, in order; all of them, whatever `policy` says."""
    return PLAN


def judged_devices(
    trail: Trail, evidence: NrasEvidence, collateral: NrasCollateral, policy: NvidiaPolicy, now: int, *, nonce: bytes | None
) -> tuple[DeviceFacts, ...]:
    """The devices of a genuine bundle, all wanted, at `now` (Unix seconds). `nonce`: what the service must have judged them for.

    None asks only that all are for one nonce, which then says nothing of when they were judged. Raises: EvidenceRefused.
    """
    # 1. Read every byte of the bundle.
    trail.step("nras.accepted", wanted.check_accepted, policy)
    bundle = nras.parse(evidence.token)
    trail.passed("nras.format", "nras.algorithm")

    # 2. The one service that the policy admits, and its keys.
    service = keys.service_of(policy)
    trail.step("nras.issuer", nras.check_issuer, bundle, service)
    published = trail.step("nras.key_set", keys.parse_key_set, collateral.jwks)
    signing = {key_id: keys.signing_key(published, key_id) for key_id in sorted({token.key_id for token in bundle.tokens})}
    trail.passed("nras.key")
    for key in signing.values():
        keys.check_chain(key, service, now)
    trail.passed("platform.marker", "nras.key_chain")

    # 3. It signed every token.
    for token in bundle.tokens:
        jws.verify(token, signing[token.key_id].public)
    trail.passed("nras.signature")

    # 4. What it signed is valid now and belongs together; all went well, and for our nonce.
    periods = nras.periods(bundle)
    trail.step("nras.validity", check_periods, periods, now, "nras.validity")
    trail.step("nras.digests", nras.check_digests, bundle)
    version = trail.step("nras.result", wanted.check_result, bundle)
    signed_nonce = trail.step("nras.nonce", nras.check_nonce, bundle, nonce)

    # 5. It found every device in order, by each step that it names.
    trail.step("nras.verification", wanted.check_verification, bundle, version)
    trail.step("nras.measurements", wanted.check_measurements, bundle)
    trail.step("nras.secure_boot", wanted.check_secure_boot, bundle)
    trail.step("nras.debug", wanted.check_debug, bundle)
    warnings = trail.step("nras.warning", wanted.check_warning, bundle, policy)

    # 6. The devices are ones that the policy wants.
    devices = trail.step("nras.device", wanted.devices, bundle)
    trail.step("nras.architecture", wanted.check_architecture, devices, policy)
    trail.step("nras.driver", wanted.check_driver, devices, policy)
    trail.step("nras.vbios", wanted.check_firmware, devices, policy)
    trail.step("nras.listed", wanted.check_listed, devices, policy)

    ends: tuple[Period, ...] = (*periods, *(period for key in signing.values() for period in key.periods))
    valid_until = min(period.end for period in ends)
    return tuple(_facts(device, signed_nonce, version, warnings.get(device.token.name), valid_until) for device in devices)


def _facts(device: wanted.Device, nonce: bytes, version: str, warning: str | None, valid_until: int) -> DeviceFacts:
    return DeviceFacts(
        kind=device.kind,
        model=device.architecture,
        identity=device.token.identity,
        device_id=device.device_id,
        nonce=nonce,
        by="nras",
        facts={
            "hwmodel": device.hwmodel[:80],
            "vbios_version": device.firmware,
            **({"driver_version": device.driver} if device.driver is not None else {}),
            "claims_version": version,
        },
        warnings=() if warning is None else (f"NVIDIA warns of {device.token.name}: {warning}",),
        valid_until=valid_until,
    )
