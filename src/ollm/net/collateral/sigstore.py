"""Sigstore's trusted root: the authorities and logs under which build attestations are verified (trusted_root.json).

It is a trust anchor, so it is never fetched here and never believed for lying in a store: the configuration names its SHA-256. Without
that, the library's own copy is used, which is as old as the release of the library.
"""

import hashlib

from ollm.errors import ConfigError
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.shelf import Shelf

KEY = Key("sigstore-root", "", "file:trusted_root.json")


def brought(document: bytes, now: int) -> Artefact:
    """A trusted root that an operator brought, to be put on a shelf or into an archive. Raises: CollateralError."""
    return artefact(KEY, document, {}, now)


def trusted_root(shelf: Shelf | None, sha256: str | None, now: int) -> bytes | None:
    """The trusted root that `sha256` (64 hex) pins; None when nothing is pinned. Raises: ConfigError when it is not on the shelf."""
    if sha256 is None:
        return None
    copy = shelf.read(KEY, now) if shelf is not None else None
    if copy is None or hashlib.sha256(copy.body).hexdigest() != sha256.lower():
        raise ConfigError(
            "the Sigstore trusted root that collateral.sigstore_root_sha256 pins is not in the store",
            "bring it with `ollm collateral import --sigstore-root FILE`",
        )
    return copy.body
