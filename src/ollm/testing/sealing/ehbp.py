"""The enclave's side of EHBP, over our own server half, with every way of cheating."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import SealError
from ollm.seal.ehbp import ENCAPSULATED_KEY, RESPONSE_NONCE, RequestOpener, ResponseSealer
from ollm.testing.sealing.cheats import DONE, Cheat, Refused, event, tampered


class EhbpExchange:
    """One opened request; seals the answers to it, one frame for each event."""

    def __init__(self, path: str, plain: bytes, sealer: ResponseSealer, sent: bytes) -> None:
        self.path = path
        self.plain = plain
        self._sealer = sealer
        self._sent = sent

    @property
    def request(self) -> dict[str, Any]:
        """The request's members, where it is JSON."""
        members: dict[str, Any] = json.loads(self.plain)
        return members

    def pieces(self, parts: Sequence[bytes]) -> list[bytes]:
        """An answer of any form, a frame for each part."""
        return [self._sealer.seal(part) for part in parts]

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""
        return {} if cheat is Cheat.PLAINTEXT else {RESPONSE_NONCE: self._sealer.nonce_hex}

    def _sealed(self, data: bytes, sealer: ResponseSealer, cheat: Cheat) -> bytes:
        if cheat is Cheat.PLAINTEXT:
            return data
        return self._sent if cheat is Cheat.REFLECTED else sealer.seal(data)

    def _keyed(self, cheat: Cheat) -> ResponseSealer:
        return ResponseSealer(os.urandom(32), os.urandom(32), os.urandom(32)) if cheat is Cheat.SWAPPED_KEY else self._sealer

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""
        return self._sealed(json.dumps(document).encode(), self._keyed(cheat), cheat)

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The frames of a streamed answer, with the end mark."""
        sealer = self._keyed(cheat)
        return tampered([self._sealed(data, sealer, cheat) for data in (*map(event, documents), DONE)], cheat)


class EhbpRecipient:
    """An enclave with an X25519 key."""

    def __init__(self, key: X25519PrivateKey | None = None) -> None:
        self._key = key or X25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes_raw()

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> EhbpExchange:
        """Raises: Refused, 422 as for every request that does not open."""
        named = {name.lower(): value for name, value in headers.items()}
        try:
            opener = RequestOpener(self._key, named.get(ENCAPSULATED_KEY, ""))
            plain = opener.feed(body)
            opener.finish()
        except SealError:
            raise Refused("urn:ietf:params:ehbp:error:key-config", 422) from None
        return EhbpExchange(path, plain, opener.response_sealer(os.urandom(32)), body)
