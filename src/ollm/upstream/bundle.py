"""What a session keeps of its evidence: the exact bytes that were judged, so that anyone can judge them again.

A JSON object: the documents by role in base64, the nonce, the key that the peer showed, the collateral of each machine, statements, and
the time of the appraisal. `ollm verify session` re-runs the appraisal from it.
"""

import base64

import msgspec

from ollm.attest.services.evidence import Judged
from ollm.errors import WireError
from ollm.values.jcs import canonical

MEDIA_TYPE = "application/vnd.ollm.evidence+json"


def encode(judged: Judged) -> bytes:
    """Canonical bytes of `judged`."""
    return canonical(msgspec.to_builtins(judged))


def decode(data: bytes) -> Judged:
    """What `data` holds. Raises: WireError."""
    try:
        return msgspec.json.decode(data, type=Judged)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("not an evidence bundle") from None


def from_data_uri(uri: str) -> bytes:
    """The bytes of a base64 data URI. Raises: WireError."""
    head, comma, body = uri.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise WireError("not a base64 data URI")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise WireError("not a base64 data URI") from None
