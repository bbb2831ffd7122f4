"""Everything that the request path is given: made once by the composition root, never reached for."""

from collections.abc import Mapping

import msgspec

from ollm.config.settings import Settings
from ollm.ports import Clock, Keys, Ledger, Sessions, Signer
from ollm.serving.attestation import AttestationService
from ollm.upstream.keeper import Held
from ollm.values.hexes import Sha256
from ollm.values.level import Level
from ollm.values.secret import Hidden


class Gateway(Hidden, frozen=True):
    settings: Settings
    config_digest: Sha256
    keyset_digest: Sha256
    pepper: bytes
    clock: Clock
    signer: Signer
    keys: Keys
    ledger: Ledger
    sessions: Sessions
    attestation: AttestationService
    keepers: dict[str, Held]
    levels: dict[str, Level]  # of each upstream, by its policy; zdr where it has none
    speaks: dict[str, frozenset[str]]  # endpoints that each upstream's adapter answers to
    started_at: int
    ways: dict[tuple[str, str], Mapping[str, str]] = msgspec.field(default_factory=dict)  # by model and endpoint: `admit` remembers them
    turns: dict[str, int] = msgspec.field(default_factory=dict)  # by model: requests so far, where they are spread over its upstreams

    def __repr__(self) -> str:
        return "<Gateway>"
