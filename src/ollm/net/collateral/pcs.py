"""Intel's Provisioning Certification Service, v4 (or a mirror, or the simulated one): what a TDX quote calls for.

    GET {pcs}/tdx/certification/v4/tcb?fmspc=HEX[&update=early]       tcbInfo; TCB-Info-Issuer-Chain
    GET {pcs}/tdx/certification/v4/qe/identity[?update=early]         TD_QE identity; SGX-Enclave-Identity-Issuer-Chain
    GET {pcs}/sgx/certification/v4/pckcrl?ca=CA&encoding=der          PCK CRL; SGX-PCK-CRL-Issuer-Chain
    GET {root_crl}                                                    root CRL, DER

What is signed is kept byte for byte: `tcbInfo` and `enclaveIdentity` are cut out of the answers as Intel wrote them.
"""

import re
from typing import Literal

from ollm.attest.evidence import CollateralNeed, TdxCollateral
from ollm.errors import CollateralError, EvidenceRefused, UpstreamError
from ollm.net.collateral.artefact import Artefact, Key
from ollm.net.collateral.asking import Asker, all_of
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.periods import chain, signed_member

Update = Literal["standard", "early"]
_FMSPC = re.compile(r"[0-9A-Fa-f]{12}")


class PcsCollateral:
    """Collateral for TDX quotes by FMSPC and CA, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, pcs_url: str, root_crl_url: str, update: Update = "standard") -> None:
        """`update`: early asks for what Intel publishes at once; standard gives platforms about a year to install it."""
        self._cache = cache
        self._asker = asker
        self._pcs = pcs_url.rstrip("/")
        self._root_crl_url = root_crl_url
        self._early = update == "early"

    def keys(self, need: CollateralNeed) -> tuple[Key, Key, Key, Key]:
        """What is asked for `need`: TCB info, QE identity, PCK CRL, root CRL. Raises: UpstreamError for a platform that can't exist."""
        if not _FMSPC.fullmatch(need.fmspc) or need.ca not in ("platform", "processor"):
            raise UpstreamError("send", "the evidence names a platform that can't exist")
        fmspc = need.fmspc.upper()
        tdx, sgx = f"{self._pcs}/tdx/certification/v4", f"{self._pcs}/sgx/certification/v4"
        return (
            Key("tcb-info", f"FMSPC {fmspc}", f"{tdx}/tcb?fmspc={fmspc}" + ("&update=early" if self._early else "")),
            Key("qe-identity", "TD_QE", f"{tdx}/qe/identity" + ("?update=early" if self._early else "")),
            Key("pck-crl", f"{need.ca} CA", f"{sgx}/pckcrl?ca={need.ca}&encoding=der"),
            Key("root-crl", "SGX Root CA", self._root_crl_url),
        )

    async def get(self, need: CollateralNeed) -> TdxCollateral:
        """Collateral for `need`.

        Raises: UpstreamError when it can't be had, EvidenceRefused with collateral.validity when what is served has ended.
        """
        try:
            tcb, identity, pck_crl, root_crl = await all_of(map(self._have, self.keys(need)))
        except CollateralError as problem:
            if not problem.ended:
                raise
            raise EvidenceRefused("collateral.validity", problem.reason, "collateral that is valid now") from None
        tcb_info, tcb_signature = signed_member(tcb.body, "tcbInfo")
        qe_identity, qe_signature = signed_member(identity.body, "enclaveIdentity")
        return TdxCollateral(
            pck_crl_issuer_chain=chain("pck-crl", pck_crl.headers),
            root_ca_crl=root_crl.body,
            pck_crl=pck_crl.body,
            tcb_info_issuer_chain=chain("tcb-info", tcb.headers),
            tcb_info=tcb_info,
            tcb_info_signature=tcb_signature,
            qe_identity_issuer_chain=chain("qe-identity", identity.headers),
            qe_identity=qe_identity,
            qe_identity_signature=qe_signature,
        )

    async def _have(self, key: Key) -> Artefact:
        return await self._cache.get(key, lambda: self._asker.get(key.identity))
