"""What Intel's Provisioning Certification Service (PCS) v4 would say about simulated machines: the same paths, headers and bodies.

    GET /tdx/certification/v4/tcb?fmspc=HEX             tcbInfo v3; TCB-Info-Issuer-Chain
    GET /tdx/certification/v4/qe/identity               TD_QE identity; SGX-Enclave-Identity-Issuer-Chain
    GET /sgx/certification/v4/pckcrl?ca=CA&encoding=der PCK CRL; SGX-PCK-CRL-Issuer-Chain
    GET /IntelSGXRootCA.der                             root CRL (Intel serves it from another host)

Everything is signed afresh when it is asked for. Source: Intel PCS API documentation, version 4.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from ollm.attest.evidence import TdxCollateral
from ollm.ports import Clock
from ollm.sim.pki import DAY, Authority, SimulatedPki
from ollm.sim.quote import ecdsa_raw

PcsAnswer = tuple[int, dict[str, str], bytes]

FMSPC = b"SIM\x00\x00\x00"  # family of all simulated platforms: one tcbInfo serves them all
CURRENT_CPU_SVN = bytes.fromhex("0b0b0202ff0100030000000000000000")
OUTDATED_CPU_SVN = bytes.fromhex("0808020204010003" + "00" * 8)
CURRENT_PCE_SVN = 13
OUTDATED_PCE_SVN = 11
EVALUATION_NUMBER = 20  # tcbEvaluationDataNumber of what is served; policies may ask for at least this
TD_QE_MR_SIGNER = "DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5"

_CURRENT_SINCE = "2026-08-12T00:00:00Z"
_OUTDATED_SINCE = "2025-05-14T00:00:00Z"
OUTDATED_ADVISORY = "SIMULATED-SA-00001"
_NOTHING = TdxCollateral(
    pck_crl_issuer_chain="",
    root_ca_crl=b"",
    pck_crl=b"",
    tcb_info_issuer_chain="",
    tcb_info="",
    tcb_info_signature=b"",
    qe_identity_issuer_chain="",
    qe_identity="",
    qe_identity_signature=b"",
)
_JSON = "application/json"
_DER = "application/pkix-crl"


class Endorsement(msgspec.Struct, frozen=True, kw_only=True):
    """What the service says. The defaults are the truth; the adversary replaces a field."""

    age: int = 300  # seconds since issueDate and thisUpdate: a clock that is a little behind still accepts them
    lifetime: int = 30 * DAY  # issueDate to nextUpdate, as Intel's
    crl_age: int | None = None  # None: as `age`
    crl_lifetime: int | None = None  # None: as `lifetime`
    fmspc: bytes = FMSPC
    evaluation_number: int = EVALUATION_NUMBER
    advisories: tuple[str, ...] = ()  # of the current TCB level
    status: str = "UpToDate"  # of the current TCB level
    qe_id: str = "TD_QE"
    qe_mr_signer: str = TD_QE_MR_SIGNER
    qe_status: str = "UpToDate"
    qe_min_isv_svn: int = 4
    module_status: str = "UpToDate"  # of the current TDX module
    module_id: str = "TDX_01"
    revoked_pck: tuple[int, ...] = ()  # serial numbers
    revoked_by_root: tuple[int, ...] = ()
    silent: bool = False  # it knows nobody and says nothing
    left_out: tuple[str, ...] = ()  # members that tcbInfo lacks
    tcb_info_forged: bool = False  # changed after it was signed
    qe_identity_forged: bool = False


class SimulatedPcs:
    """The service over one installation's hierarchy."""

    def __init__(self, pki: SimulatedPki, clock: Clock, endorsement: Endorsement | None = None) -> None:
        self.pki = pki
        self.clock = clock
        self.endorsement = endorsement if endorsement is not None else Endorsement()

    def pcs_answer(self, path: str, query: Mapping[str, str]) -> PcsAnswer:
        """Status, headers and body for a GET of `path`. `query` holds each parameter once."""
        handler = _PATHS.get(path)
        if handler is None or self.endorsement.silent:
            return _refusal(404, "ResourceNotFound", "no such resource")
        return handler(self, query)

    def collateral(self) -> TdxCollateral:
        """All of it at once, as a verifier holds it; empty when the service is silent."""
        if self.endorsement.silent:
            return _NOTHING
        tcb_info, tcb_info_signature = self.tcb_info()
        qe_identity, qe_identity_signature = self.qe_identity()
        signers = _chain(self.pki.tcb_signing, self.pki.root)
        return TdxCollateral(
            pck_crl_issuer_chain=_chain(self.pki.platform_ca, self.pki.root),
            root_ca_crl=self.root_crl(),
            pck_crl=self.pck_crl("platform"),
            tcb_info_issuer_chain=signers,
            tcb_info=tcb_info,
            tcb_info_signature=tcb_info_signature,
            qe_identity_issuer_chain=signers,
            qe_identity=qe_identity,
            qe_identity_signature=qe_identity_signature,
        )

    def tcb_info(self) -> tuple[str, bytes]:
        """tcbInfo and the signature over exactly these characters."""
        said = self.endorsement
        document = {"id": "TDX", "version": 3, **self._dates(), **_tcb(said)}
        for member in said.left_out:
            del document[member]
        return self._signed(document, forged=said.tcb_info_forged)

    def qe_identity(self) -> tuple[str, bytes]:
        """TD_QE identity and the signature over exactly these characters."""
        document = {"id": self.endorsement.qe_id, "version": 2, **self._dates(), **_identity(self.endorsement)}
        return self._signed(document, forged=self.endorsement.qe_identity_forged)

    def pck_crl(self, ca: str) -> bytes:
        """The CRL of the CA named `ca`: platform or processor."""
        issuer = self.pki.platform_ca if ca == "platform" else self.pki.processor_ca
        return self._crl(issuer, self.endorsement.revoked_pck if ca == "platform" else ())

    def root_crl(self) -> bytes:
        return self._crl(self.pki.root, self.endorsement.revoked_by_root)

    def _crl(self, issuer: Authority, revoked: tuple[int, ...]) -> bytes:
        said = self.endorsement
        issued = self.clock.now() - (said.age if said.crl_age is None else said.crl_age)
        lifetime = said.lifetime if said.crl_lifetime is None else said.crl_lifetime
        return self.pki.crl(issuer, issued=issued, expires=issued + lifetime, revoked=revoked)

    def _dates(self) -> dict[str, Any]:
        issued = self.clock.now() - self.endorsement.age
        return {"issueDate": _rfc3339(issued), "nextUpdate": _rfc3339(issued + self.endorsement.lifetime)}

    def _signed(self, document: dict[str, Any], *, forged: bool) -> tuple[str, bytes]:
        text = json.dumps(document, separators=(",", ":"))
        signature = ecdsa_raw(self.pki.tcb_signing.key, text.encode())
        if forged:
            text = text.replace('"tcbEvaluationDataNumber":', '"tcbEvaluationDataNumber":1', 1)
        return text, signature


def _tcb(said: Endorsement) -> dict[str, Any]:
    """tcbInfo without its head: two levels, the current one and one that is out of date."""
    module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    module_levels = [
        {"tcb": {"isvsvn": 6}, "tcbDate": _CURRENT_SINCE, "tcbStatus": said.module_status},
        {"tcb": {"isvsvn": 4}, "tcbDate": _OUTDATED_SINCE, "tcbStatus": "OutOfDate", "advisoryIDs": [OUTDATED_ADVISORY]},
    ]
    return {
        "fmspc": said.fmspc.hex().upper(),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": said.evaluation_number,
        "tdxModule": module,
        "tdxModuleIdentities": [{"id": said.module_id, **module, "tcbLevels": module_levels}],
        "tcbLevels": [
            _level(CURRENT_CPU_SVN, CURRENT_PCE_SVN, "060103", _CURRENT_SINCE, said.status, said.advisories),
            _level(OUTDATED_CPU_SVN, OUTDATED_PCE_SVN, "040102", _OUTDATED_SINCE, "OutOfDate", (OUTDATED_ADVISORY,)),
        ],
    }


def _level(cpu_svn: bytes, pce_svn: int, tdx_svn: str, date: str, status: str, advisories: tuple[str, ...]) -> dict[str, Any]:
    level: dict[str, Any] = {
        "tcb": {
            "sgxtcbcomponents": [{"svn": svn} for svn in cpu_svn],
            "pcesvn": pce_svn,
            "tdxtcbcomponents": [{"svn": svn} for svn in bytes.fromhex(tdx_svn).ljust(16, b"\x00")],
        },
        "tcbDate": date,
        "tcbStatus": status,
    }
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def _identity(said: Endorsement) -> dict[str, Any]:
    return {
        "tcbEvaluationDataNumber": said.evaluation_number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8,
        "mrsigner": said.qe_mr_signer,
        "isvprodid": 2,
        "tcbLevels": [{"tcb": {"isvsvn": said.qe_min_isv_svn}, "tcbDate": _CURRENT_SINCE, "tcbStatus": said.qe_status}],
    }


def _serve_tcb(service: SimulatedPcs, query: Mapping[str, str]) -> PcsAnswer:
    fmspc = query.get("fmspc", "")
    if len(fmspc) != 12 or not all(character in "0123456789abcdefABCDEF" for character in fmspc):
        return _refusal(400, "InvalidRequest", "fmspc is 12 hexadecimal characters")
    if fmspc.lower() != FMSPC.hex():
        return _refusal(404, "ResourceNotFound", "no TCB info for this fmspc")
    text, signature = service.tcb_info()
    return _document("tcbInfo", "TCB-Info-Issuer-Chain", text, signature, service.pki)


def _serve_identity(service: SimulatedPcs, query: Mapping[str, str]) -> PcsAnswer:
    text, signature = service.qe_identity()
    return _document("enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain", text, signature, service.pki)


def _serve_pck_crl(service: SimulatedPcs, query: Mapping[str, str]) -> PcsAnswer:
    ca = query.get("ca", "")
    if ca not in ("platform", "processor") or query.get("encoding", "der") != "der":
        return _refusal(400, "InvalidRequest", "ca is platform or processor, encoding is der")
    issuer = service.pki.platform_ca if ca == "platform" else service.pki.processor_ca
    chain = quote(_chain(issuer, service.pki.root))
    return 200, {"Content-Type": _DER, "SGX-PCK-CRL-Issuer-Chain": chain}, service.pck_crl(ca)


def _serve_root_crl(service: SimulatedPcs, query: Mapping[str, str]) -> PcsAnswer:
    return 200, {"Content-Type": _DER}, service.root_crl()


# Path (without query) to handler: the whole surface.
_PATHS: dict[str, Callable[[SimulatedPcs, Mapping[str, str]], PcsAnswer]] = {
    "/tdx/certification/v4/tcb": _serve_tcb,
    "/tdx/certification/v4/qe/identity": _serve_identity,
    "/sgx/certification/v4/pckcrl": _serve_pck_crl,
    "/IntelSGXRootCA.der": _serve_root_crl,
}


def _document(member: str, header: str, text: str, signature: bytes, pki: SimulatedPki) -> PcsAnswer:
    body = f'{{"{member}":{text},"signature":"{signature.hex()}"}}'.encode()
    return 200, {"Content-Type": _JSON, header: quote(_chain(pki.tcb_signing, pki.root))}, body


def _refusal(status: int, code: str, message: str) -> PcsAnswer:
    return status, {"Error-Code": code, "Error-Message": message}, b""


def _chain(*authorities: Authority) -> str:
    return "".join(authority.pem for authority in authorities)


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
