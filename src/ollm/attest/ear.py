"""An appraisal as an EAT Attestation Result: the words in which relying parties of other makes read it.

Format: draft-ietf-rats-ear-04, JSON, unsigned (whoever publishes it signs it). Values: draft-ietf-rats-ar4si, "Specific Claims"; `ASPECTS`
says for each check what it speaks to. What was not looked at has no value: no assertion, never an affirmation.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.level import Level

PROFILE = "tag:ietf.org,2026:rats/ear#04"
CPU = "cpu"  # name of the submodule without a target

_AFFIRMING, _WARNING, _CONTRAINDICATED = 2, 32, 96
_KNOWN_VULNERABILITIES = 32  # hardware and configuration: genuine, with known vulnerabilities


class Aspect(NamedTuple):
    """A trustworthiness claim, its value when the check refused, and when it passed (0: that alone affirms nothing)."""

    claim: str
    refused: int
    passed: int = 0


_UNREADABLE = Aspect("hardware", 1)  # unknown elements, which keep the verifier from an evaluation
_FORGED = Aspect("hardware", 99)  # cryptographic validation failed
_GENUINE = Aspect("hardware", 99, 2)
_STRANGE = Aspect("hardware", 97)  # hardware that should be recognised and isn't
_OUTDATED = Aspect("hardware", 96)
_NOT_LISTED = Aspect("instance-identity", 97, 2)
_REVOKED = Aspect("instance-identity", 96)
_MISBOUND = Aspect("instance-identity", 97)  # somebody else's evidence, or an old one
_EXPOSED = Aspect("configuration", 96, 2)
_VISIBLE = Aspect("runtime-opaque", 96, 2)
_UNEXPLAINED = Aspect("executables", 33)
_BOOTED = Aspect("executables", 33, 3)
_RUNNING = Aspect("executables", 33, 2)

# The entry with the longest name that is the check's, or that is a beginning of it and ends in a dot.
ASPECTS: dict[str, Aspect] = {
    "evidence.": _UNREADABLE,
    "policy.level": _STRANGE,
    "report.": _UNREADABLE,
    "keyset.": _MISBOUND,
    "key.": _NOT_LISTED,
    "signer.": _MISBOUND,
    "signer.format": _UNREADABLE,
    "signer.app": _NOT_LISTED,
    "signer.key_provider": _NOT_LISTED,
    "gateway.": _MISBOUND,
    "gateway.accepted": _STRANGE,
    "gateway.format": _UNREADABLE,
    "gateway.app": _NOT_LISTED,
    "manager.": _MISBOUND,
    "manager.format": _UNREADABLE,
    "manager.files": _UNEXPLAINED,
    "machine.": _STRANGE,
    "quote.": _EXPOSED,
    "quote.format": _UNREADABLE,
    "quote.certification_data": _UNREADABLE,
    "quote.header": _STRANGE,
    "quote.debug": _VISIBLE,
    "quote.signature": _GENUINE,
    "quote.seam_signer": _STRANGE,
    "quote.current_module": _OUTDATED,
    "quote.library_verdict": _FORGED,
    "platform.marker": _STRANGE,
    "platform.configuration": _EXPOSED,
    "platform.listed": _NOT_LISTED,
    "chain.": _FORGED,
    "chain.revocation": _REVOKED,
    "collateral.": _UNREADABLE,
    "tcb.": _OUTDATED,
    "tcb.info": _FORGED,
    "tcb.qe_identity": _FORGED,
    "firmware_log.": _UNEXPLAINED,
    "event_log.": _UNEXPLAINED,
    "measurement.reference_values": _BOOTED,
    "compose.": _UNEXPLAINED,
    "compose.accepted": _RUNNING,
    "snp.": _EXPOSED,
    "snp.format": _UNREADABLE,
    "snp.collateral": _UNREADABLE,
    "snp.certificate": _UNREADABLE,
    "snp.signing_key": _STRANGE,
    "snp.product": _STRANGE,
    "snp.root": _FORGED,
    "snp.chain": _FORGED,
    "snp.validity": _UNREADABLE,
    "snp.revocation": _REVOKED,
    "snp.chip": _FORGED,
    "snp.endorsed_tcb": _FORGED,
    "snp.signature": _GENUINE,
    "snp.debug": _VISIBLE,
    "snp.product_accepted": _STRANGE,
    "snp.provider": _STRANGE,
    "snp.chip_listed": _NOT_LISTED,
    "snp.tcb_format": _OUTDATED,
    "snp.tcb_order": _OUTDATED,
    "snp.tcb": _OUTDATED,
    "snp.reference_values": _BOOTED,
    "nitro.": _FORGED,
    "nitro.format": _UNREADABLE,
    "nitro.validity": _UNREADABLE,
    "nitro.signature": _GENUINE,
    "nitro.debug": _VISIBLE,
    "nitro.age": _MISBOUND,
    "nitro.instance": _NOT_LISTED,
    "nitro.reference_values": _RUNNING,
    "binding.": _MISBOUND,
    "channel.": _MISBOUND,
    "device.": _FORGED,
    "device.format": _UNREADABLE,
    "device.certificates": _UNREADABLE,
    "device.validity": _UNREADABLE,
    "device.architecture": _STRANGE,
    "device.signature": _GENUINE,
    "device.nonce": _MISBOUND,
    "device.listed": _NOT_LISTED,
    "device.mode": _VISIBLE,
    "device.driver": _OUTDATED,
    "device.vbios": _OUTDATED,
    "device.measurements": _BOOTED,
    "rim.": _UNEXPLAINED,
    "ocsp.": _REVOKED,
    "nras.": _FORGED,
    "nras.accepted": _STRANGE,
    "nras.format": _UNREADABLE,
    "nras.validity": _UNREADABLE,
    "nras.signature": _GENUINE,
    "nras.nonce": _MISBOUND,
    "nras.result": _UNEXPLAINED,
    "nras.verification": _UNEXPLAINED,
    "nras.measurements": _BOOTED,
    "nras.secure_boot": _EXPOSED,
    "nras.debug": _VISIBLE,
    "nras.warning": _EXPOSED,
    "nras.architecture": _STRANGE,
    "nras.driver": _OUTDATED,
    "nras.vbios": _OUTDATED,
    "nras.listed": _NOT_LISTED,
    "devices.": _MISBOUND,
    "chutes.": _MISBOUND,
    "chutes.format": _UNREADABLE,
    "tinfoil.": _MISBOUND,
    "tinfoil.format": _UNREADABLE,
    "privatemode.": _MISBOUND,
    "privatemode.format": _UNREADABLE,
    "privatemode.manifest": _UNEXPLAINED,
    "privatemode.coordinator": _UNEXPLAINED,
    "privatemode.admitted": _NOT_LISTED,
    "provenance.": _UNEXPLAINED,
}


def aspect(check: str) -> Aspect:
    """What `check` speaks to. Raises: KeyError for a check that is in no table."""
    return ASPECTS[check] if check in ASPECTS else ASPECTS[check.partition(".")[0] + "."]


def result(appraisal: Appraisal, *, now: int, build: str, nonce: str | None = None) -> dict[str, Any]:
    """`appraisal` as an EAR: claims of a JWT payload. `now` in Unix seconds; `build` names the verifier, as "ollm 0.1.0"."""
    targets = dict.fromkeys(check.target for check in appraisal.checks)
    document: dict[str, Any] = {
        "eat_profile": PROFILE,
        "iat": now,
        "ear_verifier_id": {"developer": "OLLM", "build": build},
        "submods": {target or CPU: _submodule(appraisal, target) for target in targets},
    }
    if appraisal.accepted:
        document["exp"] = appraisal.valid_until
    if nonce is not None:
        document["eat_nonce"] = nonce
    return document


def _submodule(appraisal: Appraisal, target: str) -> dict[str, Any]:
    checks = [check for check in appraisal.checks if check.target == target]
    vector = _vector(checks)
    if appraisal.level is not Level.TEE:
        # Software plays the hardware: its memory is open to its host, whatever its evidence says.
        vector |= {"hardware": max(97, vector.get("hardware", 0)), "runtime-opaque": 96}
    elif not target and vector.get("hardware") == _AFFIRMING and (appraisal.warnings or appraisal.claims.tcb_up_to_date.status == "refuted"):
        vector["hardware"] = _KNOWN_VULNERABILITIES
    complete = all(check.outcome is Outcome.PASSED for check in checks)
    return {
        "ear_status": _tier(max(vector.values(), default=0)) if complete or max(vector.values(), default=0) >= _WARNING else "none",
        **({"ear_trustworthiness_vector": vector} if vector else {}),  # AR4SI: absent rather than empty
        "ear_appraisal_policy_ids": [appraisal.policy],
        "ear_verifier_claims": {
            "ollm_checks": [{"name": check.name, "outcome": str(check.outcome), "got": check.got, "want": check.want} for check in checks],
            **({} if target else {"ollm_claims": appraisal.claims.document(), "ollm_warnings": list(appraisal.warnings)}),
        },
    }


def _vector(checks: Iterable[Check]) -> dict[str, int]:
    """The value of each claim that a check speaks to. A refusal outweighs what passed; of affirmations the broadest stands (2 before 3)."""
    vector: dict[str, int] = {}
    for check in checks:
        if check.outcome is Outcome.NOT_REACHED:
            continue
        found = aspect(check.name)
        value = found.passed if check.outcome is Outcome.PASSED else found.refused
        held = vector.get(found.claim, 0)
        if value and (not held or value >= _WARNING or (held < _WARNING and value < held)):
            vector[found.claim] = value
    return vector


def _tier(value: int) -> str:
    for least, name in ((_CONTRAINDICATED, "contraindicated"), (_WARNING, "warning"), (_AFFIRMING, "affirming")):
        if value >= least:
            return name
    return "none"
