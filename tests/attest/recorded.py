"""Reads recorded TDX evidence of real machines, where the folder is given: cases with their verdicts, quotes, collateral by role.

Collateral comes as one bundle, or role by role from what different tools stored: PCS answers around the signed text, chains that
are still URL-encoded, CRLs in DER or hex.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ollm.attest.evidence import TdxCollateral, TdxEvidence
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy

Case = dict[str, Any]

HARDWARE = AttestationPolicy(name="hardware", level=Level.TEE, tdx=TdxPolicy())

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "quote.format": "malformed",
    "quote.certification_data": "malformed",
    "quote.debug": "debug",
    "quote.sept_ve_disable": "sept_ve_disable",
    "quote.service_td": "unsupported_service_td",
    "quote.signature": "signature",
    "chain.root": "wrong_root",
    "chain.pck": "chain",
    "chain.revocation": "revoked",
    "collateral.validity": "expired",
    "tcb.level": "tcb_level",
    "machine.collateral": "endorsement_missing",  # the recording has no TCB info as new as the platform: no TdxCollateral can be built
}
# These files end in a text that was appended to show that verifiers overlook it; their verdict is about the quote before it.
WITH_APPENDED_TEXT = {"tdx/q_v4_gotdx_spr_e4.dat": 39}


def cases(folder: Path) -> list[Case]:
    """Every recorded TDX case with its verdict."""
    return [case for case in json.loads((folder / "VERDICTS.json").read_bytes()) if case["tech"] == "tdx"]


def find(folder: Path, file: str, variant: str | None = None) -> Case:
    """The case of `file`."""
    return next(case for case in cases(folder) if case["file"] == file and case.get("variant") == variant)


def evidence(folder: Path, case: Case) -> TdxEvidence:
    """The quote of `case`, and the event log where one was recorded with it."""
    quote = (folder / case["file"]).read_bytes()
    log = case["collateral"].get("event_log")
    return TdxEvidence(
        quote=quote[: len(quote) - WITH_APPENDED_TEXT.get(case["file"], 0)],
        event_log=json.loads((folder / log).read_bytes())["event_log"] if log is not None else None,
    )


def seconds(case: Case) -> int:
    """The time at which the case was judged."""
    return int(datetime.fromisoformat(case["at"]).timestamp())


def policy(case: Case) -> TdxPolicy:
    """Hardware of Intel with a current TCB: what the recorded verdicts are about. `case` changes nothing in that."""
    return HARDWARE.tdx


def collateral(folder: Path, case: Case) -> TdxCollateral | None:
    """The collateral that the roles of `case` name, what they don't name from the bundle; None where some of it was not recorded."""
    return None if "missing" in case else by_roles(folder, case["collateral"])


def by_roles(folder: Path, roles: dict[str, str]) -> TdxCollateral:
    """The collateral that `roles` name; what they don't name comes from the bundle."""
    bundle_file = roles.get("bundle") or roles.get("chains_and_crls")
    members: dict[str, Any] = {}
    if bundle_file is not None:
        bundle = json.loads((folder / bundle_file).read_bytes())
        binary = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
        members = {name: bytes.fromhex(bundle[name]) if name in binary else bundle[name] for name in TdxCollateral.__struct_fields__}
    for role, name, member in (("tcb_info", "tcb_info", "tcbInfo"), ("qe_identity", "qe_identity", "enclaveIdentity")):
        if role in roles:
            members[name], members[f"{name}_signature"] = _signed_text((folder / roles[role]).read_text(), member)
    if "tcb_signing_chain" in roles:
        members["tcb_info_issuer_chain"] = members["qe_identity_issuer_chain"] = _chain(folder / roles["tcb_signing_chain"])
    if "pck_crl_chain" in roles:
        members["pck_crl_issuer_chain"] = _chain(folder / roles["pck_crl_chain"])
    for role, name in (("pck_crl", "pck_crl"), ("root_crl", "root_ca_crl")):
        if role in roles:
            members[name] = _der((folder / roles[role]).read_bytes())
    return TdxCollateral(**members)


def dstack_answers(folder: Path) -> list[TdxEvidence]:
    """Each quote with its log, and app-compose where it was given, in the recorded answers of providers that run dstack."""
    found: dict[bytes, TdxEvidence] = {}
    for path in sorted(folder.glob("captures/*/responses/*attestation_report.body")):
        for answer in _objects(json.loads(path.read_bytes())):
            if "intel_quote" in answer and "event_log" in answer:
                log, info = answer["event_log"], _parsed(answer.get("info") or {})
                quote = bytes.fromhex(answer["intel_quote"])
                found[quote] = TdxEvidence(
                    quote=quote,
                    event_log=log if isinstance(log, str) else json.dumps(log),
                    app_compose=_parsed(info.get("tcb_info") or {}).get("app_compose"),
                )
    return list(found.values())


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in `value`."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _objects(member)


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _signed_text(answer: str, member: str) -> tuple[str, bytes]:
    """The exact text of `member`, cut out of a PCS answer, and the signature beside it."""
    start = answer.index("{", answer.index(f'"{member}"'))
    _, end = json.JSONDecoder().raw_decode(answer, start)
    return answer[start:end], bytes.fromhex(json.loads(answer)["signature"])


def _chain(path: Path) -> str:
    text = path.read_text().strip()
    return unquote(text) if "%20" in text else text


def _der(data: bytes) -> bytes:
    return data if data[:1] == b"\x30" else bytes.fromhex(data.decode().strip())
