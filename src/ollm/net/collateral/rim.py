"""NVIDIA's service for reference integrity manifests (or a mirror): the measurements of a driver or VBIOS release, signed.

    GET {rim}/v1/rim/{id}   {"id": "NV_GPU_DRIVER_GH100_550.90.07", "rim": "<base64 of the XML>", "sha256": "<of the XML>",
                             "rim_format": "TCG", "last_updated": …, "request_id": …}

Ids are made by appraisal from what the device signed. What is kept is the XML. The digest beside it finds damage and proves nothing.
Source: NVIDIA Attestation documentation, RIM service API.
"""

import base64
import binascii
import hashlib

import msgspec

from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key
from ollm.net.collateral.asking import Asker, path_segment
from ollm.net.collateral.cache import CollateralCache
from ollm.ports import Fetched
from ollm.values.structs import resolved

_FORMAT = "TCG"  # SWID tags; CoRIM is for network cards


@resolved
class _Answer(msgspec.Struct):
    id: str
    rim: str
    sha256: str
    rim_format: str = _FORMAT  # older mirrors don't say


class RimService:
    """RIM files by id, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, rim_url: str) -> None:
        self._cache = cache
        self._asker = asker
        self._base = rim_url.rstrip("/") + "/v1/rim/"

    def key(self, rim_id: str) -> Key:
        """What is asked for `rim_id`. Raises: UpstreamError for an id that can't exist."""
        return Key("rim", rim_id, self._base + path_segment(rim_id, "a RIM"))

    async def get(self, rim_id: str) -> Artefact:
        """The RIM file `rim_id`. Raises: UpstreamError."""
        key = self.key(rim_id)

        async def obtain() -> Fetched:
            answer = await self._asker.get(key.identity)
            return Fetched(answer.status, {}, unwrapped(answer.body, rim_id))

        return await self._cache.get(key, obtain)


def unwrapped(body: bytes, rim_id: str) -> bytes:
    """The XML in an answer about `rim_id`. Raises: CollateralError."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        rim = base64.b64decode(answer.rim, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
        raise CollateralError("stream", "no usable answer from the RIM service") from None
    if answer.id != rim_id or answer.rim_format != _FORMAT:
        raise CollateralError("stream", "the RIM service answered with another RIM, or in another format")
    if hashlib.sha256(rim).hexdigest() != answer.sha256.lower():
        raise CollateralError("stream", "the RIM is not the one whose digest stands beside it")
    return rim
