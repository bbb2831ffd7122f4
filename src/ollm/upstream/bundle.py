"""What a session keeps of its evidence: the exact bytes that were judged, so that anyone can judge them again.

A JSON object with base64 members (`report`, `hpke_key_config`, the collateral's parts), the nonce, the key that the
peer showed, and the time of the appraisal. `ollm verify session` re-runs the appraisal from it.
"""

import base64

import msgspec

from ollm.attest.evidence import AciEvidence, TdxCollateral
from ollm.errors import WireError
from ollm.values.jcs import canonical
from ollm.values.structs import resolved

MEDIA_TYPE = "application/vnd.ollm.evidence+json"


@resolved
class Bundle(msgspec.Struct, frozen=True):
    evidence: AciEvidence
    collateral: TdxCollateral
    appraised_at: int  # Unix seconds


def encode(bundle: Bundle) -> bytes:
    """Canonical bytes of `bundle`."""
    return canonical(msgspec.to_builtins(bundle))


def decode(data: bytes) -> Bundle:
    """The bundle in `data`. Raises: WireError."""
    try:
        return msgspec.json.decode(data, type=Bundle)
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
