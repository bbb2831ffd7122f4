"""Endorsements from Intel's Provisioning Certification Service, v4 (or a mirror, or the simulated one).

What is signed is kept byte for byte: the `tcbInfo` and `enclaveIdentity` objects are cut out of the answers as Intel
wrote them, never re-serialised. One cache in front honours `nextUpdate` and gives nothing beyond it.
"""

import asyncio
import datetime
import json
from urllib.parse import unquote

from cryptography import x509

from ollm.attest.evidence import CollateralNeed, TdxCollateral
from ollm.errors import UpstreamError
from ollm.ports import Clock, Fetch, Fetched

_TRUST_SECONDS = 3600  # revocations should be seen within the hour, however long nextUpdate is


class PcsCollateral:
    """Collateral for TDX quotes by FMSPC and CA, single flight, cached for at most an hour."""

    def __init__(self, fetch: Fetch, clock: Clock, *, pcs_url: str, root_crl_url: str) -> None:
        self._fetch = fetch
        self._clock = clock
        self._pcs = pcs_url.rstrip("/")
        self._root_crl_url = root_crl_url
        self._cache: dict[tuple[str, str], tuple[float, TdxCollateral]] = {}
        self._lock = asyncio.Lock()

    async def get(self, need: CollateralNeed) -> TdxCollateral:
        """Collateral for `need`. Raises: UpstreamError when the service can't be reached or answers nonsense."""
        key = (need.fmspc, need.ca)
        async with self._lock:
            held = self._cache.get(key)
            if held is not None and self._clock.now() < held[0]:
                return held[1]
            collateral = await self._get(need)
            self._cache[key] = (min(self._clock.now() + _TRUST_SECONDS, _first_update(collateral)), collateral)
            return collateral

    async def _get(self, need: CollateralNeed) -> TdxCollateral:
        if not need.fmspc.isalnum() or need.ca not in ("platform", "processor"):
            raise UpstreamError("send", "the evidence names a platform that can't exist")
        tcb, identity, pck_crl, root_crl = await asyncio.gather(
            self._good(f"{self._pcs}/tdx/certification/v4/tcb?fmspc={need.fmspc}"),
            self._good(f"{self._pcs}/tdx/certification/v4/qe/identity"),
            self._good(f"{self._pcs}/sgx/certification/v4/pckcrl?ca={need.ca}&encoding=der"),
            self._good(self._root_crl_url),
        )
        tcb_info, tcb_signature = signed_member(tcb.body, "tcbInfo")
        qe_identity, qe_signature = signed_member(identity.body, "enclaveIdentity")
        return TdxCollateral(
            pck_crl_issuer_chain=_chain(pck_crl, "sgx-pck-crl-issuer-chain"),
            root_ca_crl=root_crl.body,
            pck_crl=pck_crl.body,
            tcb_info_issuer_chain=_chain(tcb, "tcb-info-issuer-chain"),
            tcb_info=tcb_info,
            tcb_info_signature=tcb_signature,
            qe_identity_issuer_chain=_chain(identity, "sgx-enclave-identity-issuer-chain"),
            qe_identity=qe_identity,
            qe_identity_signature=qe_signature,
        )

    async def _good(self, url: str) -> Fetched:
        answer = await self._fetch.get(url)
        if answer.status != 200:
            raise UpstreamError("headers", f"collateral service answered {answer.status}", status=answer.status)
        return answer


def signed_member(body: bytes, member: str) -> tuple[str, bytes]:
    """The exact text of object `member` in `body`, and the signature beside it. Raises: UpstreamError."""
    broken = UpstreamError("stream", f"collateral answer has no usable {member}")
    try:
        text = body.decode()
        start = text.index("{", text.index(f'"{member}"') + len(member) + 2)
        _, end = json.JSONDecoder().raw_decode(text, start)
        signature = bytes.fromhex(json.loads(text)["signature"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise broken from None
    if len(signature) != 64:
        raise broken
    return text[start:end], signature


def next_update(document: str) -> float:
    """`nextUpdate` of a tcbInfo or QE identity in Unix seconds; 0 (never cached) when it has none that can be read."""
    try:
        return datetime.datetime.fromisoformat(json.loads(document)["nextUpdate"]).timestamp()
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def _first_update(collateral: TdxCollateral) -> float:
    """When the first of its documents and revocation lists will have a successor, in Unix seconds."""
    documents = (next_update(collateral.tcb_info), next_update(collateral.qe_identity))
    return min(*documents, *map(_next_crl, (collateral.pck_crl, collateral.root_ca_crl)))


def _next_crl(der: bytes) -> float:
    try:
        end = x509.load_der_x509_crl(der).next_update_utc
    except ValueError:
        return 0.0  # appraisal says what is wrong with it
    return end.timestamp() if end is not None else 0.0


def _chain(answer: Fetched, header: str) -> str:
    chain = answer.headers.get(header)
    if not chain:
        raise UpstreamError("headers", f"collateral answer lacks {header}")
    return unquote(chain)
