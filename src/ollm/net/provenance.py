"""Build attestations: Sigstore bundles to verified statements. The one module that imports sigstore-python (extra `provenance`).

Nothing here reaches the network: a bundle carries its log entry and its time, and the trust root is a document that is handed in.

sigstore-python reads the machine's clock in one place, to leave out keys of the trust root that begin in the future; it never asks
whether a key had ended when it signed. Both are mended by giving it a trust root that is cut to the time of the signature: first the
claimed time is read, then only the authorities and logs that were valid at it are handed over, with their validity left open, and then
the library proves the claimed time under them. So the same bundle and root give the same answer on every machine and day.
"""

import importlib.resources
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ollm.attest import strict_json
from ollm.attest.provenance import identity, statement
from ollm.errors import ConfigError, EvidenceRefused
from ollm.values.provenance import CertifiedBuild, VerifiedStatement

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle, TrustedRoot

MAX_BUNDLE = 2 * 1024 * 1024  # base64 of a statement of the largest size, with room for certificate and log entry
MAX_TRUST_ROOT = 256 * 1024  # Sigstore's has 7 KB
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_EMBEDDED = "_store/https%3A%2F%2Ftuf-repo-cdn.sigstore.dev/trusted_root.json"
_ALWAYS = {"start": "1970-01-01T00:00:00Z"}
_UNSIGNED = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}  # nothing is signed here, but the document wants one
# The first words of the library's sentences, and the check that each belongs to. What it says otherwise is its verdict as a whole.
_CHECKS = (
    ("failed to build timestamp certificate chain", "provenance.certificate"),
    ("failed to verify SCT", "provenance.certificate"),
    ("Key usage is not", "provenance.certificate"),
    ("Extended usage does not", "provenance.certificate"),
    ("invalid signing cert", "provenance.certificate"),
    ("invalid log entry", "provenance.log"),
    ("invalid DSSE log entry", "provenance.log"),
    ("log entry ", "provenance.log"),
    ("transparency log entry is inconsistent", "provenance.log"),
    ("not enough sources of verified time", "provenance.log"),
    ("DSSE: ", "provenance.signature"),
)


def embedded_trust_root() -> bytes:
    """Sigstore's production trust root as the installed library ships it. Raises: ConfigError.

    It is read from the package. The library's own `production(offline=True)` prefers a copy in the user's cache folder, which whoever
    can write there can replace, and says so only in a log line.
    """
    _require()
    try:
        return (importlib.resources.files("sigstore") / _EMBEDDED).read_bytes()
    except OSError:
        raise ConfigError("sigstore ships no trust root where it is expected", "give a trusted_root.json of Sigstore's by file") from None


def verify_bundle(bundle: bytes, trust_root: bytes) -> VerifiedStatement:
    """The statement of a GitHub build attestation (Sigstore bundle v0.3, JSON), signed under `trust_root` (trusted_root.json).

    That it is genuine says nothing of who built: `by` is for the policy to admit. Raises: EvidenceRefused with a check of
    `attest.provenance.checks`; ConfigError without the extra `provenance`.
    """
    _require()
    from sigstore.verify import Verifier

    # 1. The bundle is one that every reader understands alike.
    read = _bundle(bundle)

    # 2. Who was valid when it claims to have been signed.
    signed_at = _claimed_time(read)
    root = _root_at(trust_root, signed_at)

    # 3. Certificate, its log, signature, transparency log and the claimed time, under them.
    build = _Certified()
    with _refusing("provenance.library_verdict", "a bundle that the library does not accept"):
        payload_type, payload = Verifier(trusted_root=root).verify_dsse(read, build)
    if payload_type != statement.PAYLOAD_TYPE:
        raise EvidenceRefused("provenance.statement", "a payload of another type", statement.PAYLOAD_TYPE)

    # 4. What was signed.
    signed = statement.parse(payload)
    return VerifiedStatement(
        by=build.certified(),
        signed_at=signed_at,
        subjects=signed.subjects,
        predicate_type=signed.predicate_type,
        predicate=signed.predicate,
    )


class _Certified:
    """Handed to the library as its policy: it is called with the certificate once the chain was proven, and refuses one of no build."""

    def __init__(self) -> None:
        self._build: CertifiedBuild | None = None

    def verify(self, cert: "Certificate") -> None:
        self._build = identity.certified_build(cert)

    def certified(self) -> CertifiedBuild:
        if self._build is None:
            raise EvidenceRefused("provenance.identity", "a certificate that was not looked at", "a build's certificate")
        return self._build


def _bundle(data: bytes) -> "Bundle":
    from sigstore.models import Bundle

    document = strict_json.parse(data, limit=MAX_BUNDLE, check="provenance.bundle")
    if not isinstance(document, dict) or document.get("mediaType") != BUNDLE_TYPE:
        raise EvidenceRefused("provenance.bundle", "a document that is no bundle, or of another version", BUNDLE_TYPE)
    if "dsseEnvelope" not in document:
        raise EvidenceRefused("provenance.bundle", "a bundle without a statement", "a DSSE envelope")
    with _refusing("provenance.bundle", "a bundle that the library can't read"):
        return Bundle.from_json(data)


def _claimed_time(bundle: "Bundle") -> int:
    """When the bundle says that it was signed, Unix seconds; the library proves it later.

    A Rekor v1 entry is dated by the log's promise, which is verified with it. Without one (Rekor v2) the timestamp authority's word
    counts, of which there must be exactly one: the library needs only one of several to be genuine, and doesn't say which was.
    """
    with _refusing("provenance.bundle", "a bundle without a readable time"):
        # What the library understood, not what was sent: it takes each member in two spellings.
        entry = json.loads(bundle.to_json())["verificationMaterial"]["tlogEntries"][0]
        integrated = int(entry.get("integratedTime", 0))
        if integrated and entry.get("inclusionPromise"):
            datetime.fromtimestamp(integrated, UTC)  # fails for a time that no calendar holds
            return integrated
        stamps = bundle.verification_material.timestamp_verification_data
        times = [stamp.tst_info.gen_time for stamp in stamps.rfc3161_timestamps] if stamps is not None else []
        if len(times) == 1:
            return int(times[0].timestamp())
    raise EvidenceRefused("provenance.bundle", "no time, or several", "a log entry with a promise, or one timestamp")


def _root_at(document: bytes, at: int) -> "TrustedRoot":
    """The authorities and logs of a trust root that were valid `at` that time."""
    from sigstore.models import ClientTrustConfig

    root = strict_json.parse(document, limit=MAX_TRUST_ROOT, check="provenance.trust_root")
    with _refusing("provenance.trust_root", "a document that is no trust root"):
        if root["mediaType"] != _ROOT_TYPE:
            raise ValueError
        cut: dict[str, Any] = {"mediaType": _ROOT_TYPE}
        for name in ("tlogs", "ctlogs"):
            keys = [{**log["publicKey"], "validFor": _ALWAYS} if _holds(log["publicKey"]["validFor"], at) else None for log in root[name]]
            cut[name] = [{**log, "publicKey": key} for log, key in zip(root[name], keys, strict=True) if key is not None]
        for name in ("certificateAuthorities", "timestampAuthorities"):
            cut[name] = [{**authority, "validFor": _ALWAYS} for authority in root.get(name, []) if _holds(authority["validFor"], at)]
        config = {"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json", "trustedRoot": cut, "signingConfig": _UNSIGNED}
        found = ClientTrustConfig.from_json(json.dumps(config)).trusted_root
    missing = [name for name in ("tlogs", "ctlogs", "certificateAuthorities") if not cut[name]]
    if missing:
        raise EvidenceRefused("provenance.trust_root", f"no {missing[0]} that were valid at {at}", "some, when the statement was signed")
    return found


def _holds(period: dict[str, Any], at: int) -> bool:
    """Whether `at` lies in a period of the trust root; both ends count, as Sigstore's specification of it says."""
    start, end = period["start"], period.get("end")
    return _seconds(start) <= at and (end is None or at <= _seconds(end))


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.timestamp()


@contextmanager
def _refusing(check: str, got: str) -> Iterator[None]:
    """Turn whatever the library raises into a refusal with fixed words.

    It parses with pydantic, cryptography, rfc3161-client and struct, and lets most of their errors through.
    """
    try:
        yield
    except EvidenceRefused:
        raise
    except BaseException as error:
        # The Rust below panics with a BaseException of its own, which would stop the event loop.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        text = str(error)
        named = next((name for words, name in _CHECKS if check == "provenance.library_verdict" and text.startswith(words)), check)
        raise EvidenceRefused(named, got, "one that verifies under the trust root") from None


def _require() -> None:
    try:
        import sigstore  # noqa: F401 - only whether it is there
    except ImportError:
        raise ConfigError("build attestations can't be verified: sigstore is not installed", "pip install 'ollm[provenance]'") from None
