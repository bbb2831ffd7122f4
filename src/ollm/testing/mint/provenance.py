"""A whole Sigstore: certificate authority, its log, Rekor of both generations, timestamp authority, and builds that sign statements.

    bundle  = sigstore.bundle(statement(…), now)          Rekor v1: promise and inclusion proof
    bundle  = sigstore.bundle_v2(statement(…), now)       Rekor v2: inclusion proof and timestamp
    root    = sigstore.trust_root()

A bundle is a dict, so that a test can bend any member of it before `packed` makes bytes of it. Statements signed with a key, without any
of that, come from `sealed`.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from ollm.attest.provenance.envelope import pre_authentication_encoding
from ollm.attest.provenance.statement import PAYLOAD_TYPE, STATEMENT_TYPE
from ollm.testing.mint.rfc3161 import TimestampAuthority
from ollm.testing.mint.x509 import DAY, Authority, issue, new_key
from ollm.values.provenance import CertifiedBuild, SigningKey, Subject, VerifiedStatement

REPOSITORY = "example/enclave"
WORKFLOW = ".github/workflows/release.yml"
TAG = "v1.2.0"
ISSUER = "https://token.actions.githubusercontent.com"
DIGEST = hashlib.sha256(b"release.json").hexdigest()
SUBJECT = Subject("release.json", DIGEST)
BUILD = CertifiedBuild(
    repository=REPOSITORY,
    workflow=WORKFLOW,
    ref=f"refs/tags/{TAG}",
    issuer=ISSUER,
    signer=f"{REPOSITORY}/{WORKFLOW}@refs/tags/{TAG}",
    commit="c0" * 20,
    trigger="push",
    runner="github-hosted",
    repository_id="123456",
)

_ARC = "1.3.6.1.4.1.57264.1."
_SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"
_CT_PRECERTIFICATE = 1


def built(**changes: str) -> CertifiedBuild:
    """`BUILD` with `changes`; what follows from them (the signer) follows, unless it is given too."""
    build = msgspec.structs.replace(BUILD, **changes)
    return build if "signer" in changes else msgspec.structs.replace(build, signer=f"{build.repository}/{build.workflow}@{build.ref}")


def extensions(build: CertifiedBuild = BUILD) -> dict[int, str]:
    """What Fulcio writes about `build`, by the last number of each OID."""
    return {
        8: build.issuer,
        9: f"https://github.com/{build.signer}",
        11: build.runner,
        12: f"https://github.com/{build.repository}",
        13: build.commit,
        14: build.ref,
        15: build.repository_id,
        18: f"https://github.com/{build.repository}/{build.workflow}@{build.ref}",
        20: build.trigger,
    }


def statement(predicate_type: str, predicate: object, subjects: Sequence[Subject] = (SUBJECT,), /, **members: object) -> bytes:
    """An in-toto statement; `members` replace its own."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}} for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
        **members,
    }
    return json.dumps(document).encode()


def verified(
    predicate_type: str,
    predicate: dict[str, Any],
    signed_at: int,
    *,
    by: CertifiedBuild | SigningKey = BUILD,
    subjects: Sequence[Subject] = (SUBJECT,),
) -> VerifiedStatement:
    """What verification of such a statement comes to, without the trouble."""
    return VerifiedStatement(by=by, signed_at=signed_at, subjects=tuple(subjects), predicate_type=predicate_type, predicate=predicate)


def witness_of(release: CertifiedBuild = BUILD, about: Subject = SUBJECT, **changes: object) -> dict[str, Any]:
    """The predicate by which a witness endorses `release`; `changes` replace members of `endorses`."""
    endorsed = {
        "repo": release.repository,
        "tag": release.ref.rpartition("/")[2],
        "commit": release.commit,
        "subject": {"name": about.name, "digest": f"sha256:{about.sha256}"},
        **changes,
    }
    return {"format": "https://tinfoil.sh/predicate/freshness-witness/v1", "endorses": endorsed}


def sealed(payload: bytes, *keys: Ed25519PrivateKey, payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    """A DSSE envelope of `payload`, signed with `keys`."""
    signed = pre_authentication_encoding(payload_type, payload)
    return {"payload": _b64(payload), "payloadType": payload_type, "signatures": [{"keyid": "", "sig": _b64(key.sign(signed))} for key in keys]}


def packed(document: object) -> bytes:
    """JSON of a bent bundle, envelope or trust root."""
    return json.dumps(document).encode()


class Sigstore:
    """An installation of Sigstore whose authorities and logs began half a year before `now`."""

    def __init__(self, now: int) -> None:
        self._now = now
        start, end = now - 180 * DAY, now + 180 * DAY
        keys = new_key(), new_key()
        self.root = issue("Test Fulcio root", None, start=start, end=end, path_length=1, key=keys[0], extensions=[_subject_key(keys[0])])
        below = [_subject_key(keys[1]), _authority_key(keys[0])]
        self.intermediate = issue("Test Fulcio", self.root, start=start, end=end, path_length=0, key=keys[1], extensions=below)
        self.ct_key = ec.generate_private_key(ec.SECP256R1())
        self.rekor_key = ec.generate_private_key(ec.SECP256R1())
        self.rekor_v2_key = Ed25519PrivateKey.generate()
        self.timestamps = TimestampAuthority(now)

    def trust_root(self) -> dict[str, Any]:
        """trusted_root.json, to be bent and packed."""
        since = {"start": _iso(self._now - 180 * DAY)}
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                _log("https://rekor.example", self.rekor_key.public_key(), "PKIX_ECDSA_P256_SHA_256", since),
                _log("https://rekor2.example", self.rekor_v2_key.public_key(), "PKIX_ED25519", since),
            ],
            "certificateAuthorities": [_authority("https://fulcio.example", (self.intermediate, self.root), since)],
            "ctlogs": [_log("https://ct.example", self.ct_key.public_key(), "PKIX_ECDSA_P256_SHA_256", since)],
            "timestampAuthorities": [_authority("https://tsa.example", self.timestamps.chain, since)],
        }

    def certificate(
        self, at: int, claims: Mapping[int, str | bytes | None], *, key: ec.EllipticCurvePrivateKey | None = None, logged: bool = True
    ) -> Authority:
        """A build's certificate, valid for ten minutes from `at`; `claims` are its extensions (bytes: in place of the DER of a text)."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(at, claims, key)
        unlogged = builder.sign(self.intermediate.key, hashes.SHA384())
        if not logged:
            return Authority(unlogged, key)
        receipt = x509.UnrecognizedExtension(x509.ObjectIdentifier(_SCT_LIST), self._receipt(unlogged, at))
        return Authority(builder.add_extension(receipt, critical=False).sign(self.intermediate.key, hashes.SHA384()), key)

    def bundle(self, payload: bytes, at: int, claims: Mapping[int, str | bytes | None] | None = None, **certificate: Any) -> dict[str, Any]:
        """A bundle as of Rekor v1: `payload` signed at `at` by a build with `claims` (those of `BUILD`)."""
        signer, envelope, signature = self._signed(payload, at, claims, certificate)
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(packed(envelope)).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": signature, "verifier": _b64(signer.certificate.public_bytes(serialization.Encoding.PEM))}],
            },
        }
        log_id = _key_id(self.rekor_key.public_key())
        entry = _entry(body, log_id, "dsse", "0.0.1") | {"integratedTime": str(at)}
        entry["inclusionProof"]["checkpoint"] = {"envelope": self._checkpoint(entry, "rekor.example", log_id)}
        entry["inclusionPromise"] = {"signedEntryTimestamp": self.promise(entry)}
        return _bundle(signer, envelope, entry)

    def bundle_v2(self, payload: bytes, at: int, claims: Mapping[int, str | bytes | None] | None = None, **certificate: Any) -> dict[str, Any]:
        """A bundle as of Rekor v2, dated by the timestamp authority."""
        signer, envelope, signature = self._signed(payload, at, claims, certificate)
        verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": _b64(signer.der)}}
        digest = hashlib.sha256(pre_authentication_encoding(PAYLOAD_TYPE, payload)).digest()
        content = {"data": {"algorithm": "SHA2_256", "digest": _b64(digest)}, "signature": {"content": signature, "verifier": verifier}}
        body = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": content}}
        log_id = _key_id(self.rekor_v2_key.public_key())
        entry = _entry(body, log_id, "hashedrekord", "0.0.2")
        entry["inclusionProof"]["checkpoint"] = {"envelope": self._checkpoint(entry, "rekor2.example", log_id)}
        bundle = _bundle(signer, envelope, entry)
        stamp = _b64(self.timestamps.stamp(base64.b64decode(signature), at))
        bundle["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": stamp}]}
        return bundle

    def promise(self, entry: Mapping[str, Any]) -> str:
        """Rekor's signature over the entry and its time (the signed entry timestamp)."""
        promised = {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
            "logIndex": int(entry["logIndex"]),
        }
        canonical = json.dumps(promised, separators=(",", ":"), sort_keys=True).encode()
        return _b64(self.rekor_key.sign(canonical, ec.ECDSA(hashes.SHA256())))

    def _signed(
        self, payload: bytes, at: int, claims: Mapping[int, str | bytes | None] | None, certificate: Mapping[str, Any]
    ) -> tuple[Authority, dict[str, Any], str]:
        signer = self.certificate(at, extensions() if claims is None else claims, **certificate)
        signature = _b64(signer.key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256())))
        return signer, {"payload": _b64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": signature}]}, signature

    def _builder(self, at: int, claims: Mapping[int, str | bytes | None], key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        signer = claims.get(9)
        uri = signer if isinstance(signer, str) and signer.isascii() and signer.isprintable() else "https://github.com/"
        parts: list[tuple[x509.ExtensionType, bool]] = [
            (_usage(), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            _subject_key(key),
            _authority_key(self.intermediate.key),
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), True),
        ]
        for number, value in claims.items():
            if value is not None:
                der = value if isinstance(value, bytes) else _utf8(value)
                parts.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(_ARC + str(number)), der), False))
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.intermediate.certificate.subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(datetime.fromtimestamp(at - 5, UTC)).not_valid_after(datetime.fromtimestamp(at + 595, UTC))
        for extension, critical in parts:
            builder = builder.add_extension(extension, critical=critical)
        return builder

    def _receipt(self, precertificate: x509.Certificate, at: int) -> bytes:
        """The list of signed certificate timestamps (RFC 6962 §3.3), one of them."""
        issuer_key = _key_id(self.intermediate.key.public_key())
        tbs = precertificate.tbs_certificate_bytes
        entry = issuer_key + len(tbs).to_bytes(3, "big") + tbs
        signed = struct.pack(">BBQH", 0, 0, at * 1000, _CT_PRECERTIFICATE) + entry + struct.pack(">H", 0)
        signature = self.ct_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        receipt = b"\x00" + _key_id(self.ct_key.public_key()) + struct.pack(">QHBBH", at * 1000, 0, 4, 3, len(signature)) + signature
        listed = struct.pack(">HH", len(receipt) + 2, len(receipt)) + receipt
        return bytes([0x04, len(listed)]) + listed if len(listed) < 128 else bytes([0x04, 0x81, len(listed)]) + listed

    def _checkpoint(self, entry: Mapping[str, Any], origin: str, log_id: bytes) -> str:
        proof = entry["inclusionProof"]
        note = f"{origin}\n{proof['treeSize']}\n{proof['rootHash']}\n"
        key = self.rekor_key if log_id == _key_id(self.rekor_key.public_key()) else self.rekor_v2_key
        signature = key.sign(note.encode()) if isinstance(key, Ed25519PrivateKey) else key.sign(note.encode(), ec.ECDSA(hashes.SHA256()))
        return f"{note}\n— {origin} {_b64(log_id[:4] + signature)}\n"


def _entry(body: object, log_id: bytes, kind: str, version: str) -> dict[str, Any]:
    """The second of two entries, so that its proof has a hash in it."""
    canonical = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    first = hashlib.sha256(b"\x00" + b"another entry").digest()
    root = hashlib.sha256(b"\x01" + first + hashlib.sha256(b"\x00" + canonical).digest()).digest()
    return {
        "logIndex": "1",
        "logId": {"keyId": _b64(log_id)},
        "kindVersion": {"kind": kind, "version": version},
        "inclusionProof": {"logIndex": "1", "rootHash": _b64(root), "treeSize": "2", "hashes": [_b64(first)]},
        "canonicalizedBody": _b64(canonical),
    }


def _bundle(signer: Authority, envelope: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"certificate": {"rawBytes": _b64(signer.der)}, "tlogEntries": [entry], "timestampVerificationData": {}},
        "dsseEnvelope": envelope,
    }


def _log(url: str, key: Any, details: str, since: dict[str, str]) -> dict[str, Any]:
    raw = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _b64(raw), "keyDetails": details, "validFor": since},
        "logId": {"keyId": _b64(_key_id(key))},
    }


def _authority(uri: str, chain: Sequence[Authority], since: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": {"organization": "example", "commonName": "example"},
        "uri": uri,
        "certChain": {"certificates": [{"rawBytes": _b64(authority.der)} for authority in chain]},
        "validFor": since,
    }


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def _subject_key(key: ec.EllipticCurvePrivateKey) -> tuple[x509.ExtensionType, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def _authority_key(key: ec.EllipticCurvePrivateKey) -> tuple[x509.ExtensionType, bool]:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False


def _key_id(key: Any) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo, as RFC 6962 names a log."""
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


def _utf8(text: str) -> bytes:
    data = text.encode()
    size = bytes([len(data)]) if len(data) < 128 else bytes([0x82]) + len(data).to_bytes(2, "big") if len(data) > 255 else bytes([0x81, len(data)])
    return b"\x0c" + size + data


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
