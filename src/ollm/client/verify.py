"""What a third party does with what a gateway hands out: verify the gateway, a receipt, a session (ACI §9).

Nothing here trusts the gateway: its report is appraised under the caller's own policy, a receipt is checked under the
keyset that this appraisal established, and a session is judged again from the evidence that it carries.
"""

import hashlib
import json
import secrets
from typing import Any, Protocol

import msgspec

from ollm.attest.appraise import appraise, needed_collateral, refused
from ollm.attest.evidence import AciEvidence, CollateralNeed, TdxCollateral
from ollm.attest.services.aci import aci_evidence
from ollm.attest.services.evidence import Bound
from ollm.config.settings import UpstreamSettings
from ollm.errors import EvidenceRefused, UpstreamError, WireError
from ollm.ports import Clock, Fetch
from ollm.receipts.receipt import STEPS, verify_bodies, verify_citation, verify_receipt
from ollm.receipts.session import verify_session
from ollm.upstream.aci import AciProvider
from ollm.upstream.asking import asking
from ollm.upstream.bundle import decode, from_data_uri
from ollm.upstream.provider import Tools
from ollm.upstream.session import judge, stated_identity
from ollm.values.aci import Keyset, config_digest_of, parse_keyset
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.hexes import Hex32, Sha256, hex32, sha256_of
from ollm.values.jcs import canonical
from ollm.values.policy import AttestationPolicy


class Endorser(Protocol):
    async def get(self, need: CollateralNeed) -> TdxCollateral: ...


class GatewayVerdict(msgspec.Struct, frozen=True):
    """What a gateway's own evidence shows. `keyset` is established only when `appraisal` is accepted."""

    appraisal: Appraisal
    keyset: Keyset | None
    keyset_digest: Sha256 | None
    config_digest: Sha256 | None


async def fetched_evidence(fetch: Fetch, gateway_url: str) -> AciEvidence:
    """The report of the gateway at `gateway_url` over a fresh nonce, with the key of its TLS peer. Raises: UpstreamError."""
    nonce = hex32(secrets.token_hex(32))
    if gateway_url.startswith("https://"):
        gathered = await AciProvider(UpstreamSettings(url=gateway_url, seal="tls"), None, Tools(asking, fetch, "", None)).gather(nonce)
        if gathered.connection is not None:
            gathered.connection.abort("close", "evidence fetched")
        return aci_evidence(gathered.evidence)
    answer = await fetch.get(f"{gateway_url.rstrip('/')}/v1/aci/attestation?nonce={nonce}")
    if answer.status != 200:
        raise UpstreamError("headers", f"the gateway's attestation endpoint answered {answer.status}", status=answer.status)
    return AciEvidence(report=answer.body, nonce=nonce, peer_spki_sha256=None, hpke_key_config=None)


async def verify_gateway(fetch: Fetch, endorser: Endorser, clock: Clock, gateway_url: str, policy: AttestationPolicy) -> GatewayVerdict:
    """Appraise a gateway's own evidence. Over plain HTTP the keyset is established for receipts, and no channel is.

    Raises: UpstreamError when the gateway can't be asked.
    """
    evidence = await fetched_evidence(fetch, gateway_url)
    try:
        collateral = await endorser.get(needed_collateral(evidence))
    except EvidenceRefused as refusal:
        return GatewayVerdict(refused(policy, refusal), None, None, None)
    except UpstreamError as problem:
        missing = EvidenceRefused("evidence.fetch", str(problem), "collateral from the endorser")
        return GatewayVerdict(refused(policy, missing), None, None, None)
    appraisal, binding = appraise(
        evidence, collateral, policy, clock.now(), require_hpke=False, require_channel=evidence.peer_spki_sha256 is not None
    )
    if binding is None:
        return GatewayVerdict(appraisal, None, None, None)
    return GatewayVerdict(appraisal, binding.keyset, binding.keyset_digest, config_digest_of(binding.keyset))


def check_receipt(
    document: bytes, keyset: Keyset, keyset_digest: Sha256, *, request: bytes | None, response: bytes | None, sessions: dict[Hex32, bytes]
) -> tuple[dict[str, Any] | None, tuple[Check, ...]]:
    """Verify a receipt under an established keyset; compare bodies and cited sessions where they are given.

    Returns the receipt (None when refused) and the checks, in the order of ACI §9.3.
    """
    checks: list[Check] = []
    try:
        receipt = verify_receipt(document, keyset, keyset_digest)
        checks.append(Check("receipt.signature", Outcome.PASSED, "signed by the attested receipt key", "a key of the established keyset"))
        if request is not None or response is not None:
            verify_bodies(receipt, request=request, response=response)
            checks.append(Check("receipt.bodies", Outcome.PASSED, "the bytes that were sent and received", "the hashes in the receipt"))
        for session_id, session in sessions.items():
            verify_citation(receipt, session_id, verify_session(session_id, session))
            checks.append(Check("receipt.session", Outcome.PASSED, f"session {session_id[:12]}…", "cited, and valid when it served"))
    except WireError as problem:
        step, _, reason = problem.reason.partition(": ")
        return None, (*checks, Check(step, Outcome.FAILED, reason, STEPS.get(step, "the session that the receipt cites")))
    return receipt, tuple(checks)


def appraise_session(
    session_id: Hex32, document: bytes, policy: AttestationPolicy, *, trust_root: bytes | None = None
) -> tuple[dict[str, Any], Appraisal, Bound | None]:
    """The deep audit of ACI §9.2: judge a session's evidence again, under `policy`, at the time that it was established.

    `trust_root` is Sigstore's, for policies with provenance. Raises: WireError when the document is not what its id names, or its
    evidence can't be read, or the evidence, though accepted, is not of the machine and keys that the session names: reason
    session.identity or session.channel_binding.
    """
    session = verify_session(session_id, document)
    judged = decode(from_data_uri(session["evidence"]["data"]))
    if judged.appraised_at != session["established_at"]:
        raise WireError("session.evidence: judged at another time than the session says")
    appraisal, bound = judge(judged, policy, trust_root)
    if bound is not None:
        _check_stated(session, bound)
    return session, appraisal, bound


def _check_stated(session: dict[str, Any], bound: Bound) -> None:
    """Whether `session` speaks of the very machine and keys that its evidence binds. Raises: WireError."""
    identity, expected = session.get("identity", {}), stated_identity(bound)
    if {name: identity.get(name) for name in expected} != expected:
        raise WireError("session.identity: its evidence is that of another machine or keyset")
    sealing = hashlib.sha256(bound.sealing[0].public_key).hexdigest() if bound.sealing else None
    for stated in session["channel_binding"]:
        kind = stated.get("type")
        if kind == "tls_spki_sha256" and stated.get("spki_sha256") in bound.spkis:
            continue
        if kind == "e2ee_public_key_sha256" and sealing is not None and stated.get("public_key_sha256") == sealing:
            continue
        raise WireError("session.channel_binding: it names a key that its evidence does not bind")


def keyset_of_report(report: bytes) -> tuple[Keyset, Sha256]:
    """The keyset that a report (or a keyset document) states; worth as much as the report's source. Raises: WireError."""
    try:
        document = json.loads(report)
        keyset = document["attestation"]["workload_keyset"] if "attestation" in document else document
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WireError("neither an attestation report nor a keyset") from None
    return parse_keyset(keyset)


def session_id_of(document: bytes) -> Hex32:
    """The id that a session document has by its content. Raises: WireError."""
    try:
        return Hex32(sha256_of(canonical(json.loads(document))).removeprefix("sha256:"))
    except (ValueError, RecursionError):
        raise WireError("not a session document") from None
