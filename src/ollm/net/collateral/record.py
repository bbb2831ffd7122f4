"""An artefact as a file: one JSON object that says what it answers and holds its exact bytes in base64.

    {"format": "ollm-collateral/1", "kind": "pck-crl", "subject": "platform CA", "identity": "https://…/pckcrl?ca=platform&encoding=der",
     "fetched_at": 1800000000, "headers": {"sgx-pck-crl-issuer-chain": "…"}, "body": "MII…", "sha256": "…of the body"}

Its name is the digest of kind and identity. Every such file is untrusted: what it says is looked at, signatures are for appraisal.
"""

import hashlib

import msgspec

from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.kinds import KINDS
from ollm.values.structs import resolved

FORMAT = "ollm-collateral/1"
MAX_RECORD = 4 * 1024 * 1024  # a body of 2 MiB in base64, and chains
_MAX_TEXT = 512


@resolved
class _Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: str
    kind: str
    subject: str
    identity: str
    fetched_at: int
    headers: dict[str, str]
    body: bytes
    sha256: str


def encode(copy: Artefact) -> bytes:
    """`copy` as a file's bytes, the same for the same copy."""
    key = copy.key
    record = _Record(
        format=FORMAT,
        kind=key.kind,
        subject=key.subject,
        identity=key.identity,
        fetched_at=copy.fetched_at,
        headers=dict(sorted(copy.headers.items())),
        body=copy.body,
        sha256=hashlib.sha256(copy.body).hexdigest(),
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def decode(data: bytes, digest: str, now: int) -> Artefact:
    """The artefact in a file whose name says `digest`. Raises: CollateralError for anything that `encode` would not have written."""
    if len(data) > MAX_RECORD:
        raise CollateralError("stream", f"a record of {len(data)} bytes")
    try:
        record = msgspec.json.decode(data, type=_Record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CollateralError("stream", "no record of collateral") from None
    kind = KINDS.get(record.kind)
    if record.format != FORMAT or kind is None or not kind.stored:
        raise CollateralError("stream", f"a record of an unknown kind: {record.kind[:40]!a}")
    key = Key(record.kind, record.subject, record.identity)
    if key.digest != digest:
        raise CollateralError("stream", "a record under another record's name")
    if hashlib.sha256(record.body).hexdigest() != record.sha256 or not _plain(record.subject) or not _plain(record.identity):
        raise CollateralError("stream", "a record that was changed")
    if record.fetched_at < 0:
        raise CollateralError("stream", "a record without a time")
    # Whoever wrote the file may have written a time to come, which would put off the next question.
    return artefact(key, record.body, record.headers, min(record.fetched_at, now))


def _plain(text: str) -> bool:
    """Printable ASCII: these are shown to people."""
    return len(text) <= _MAX_TEXT and text.isascii() and text.isprintable()
