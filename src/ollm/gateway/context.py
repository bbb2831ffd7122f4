"""Everything that the request path is given: made once by the composition root, never reached for."""

from collections.abc import Callable, Mapping

import msgspec

from ollm.config.settings import ModelSettings, Settings
from ollm.gateway.accounts import Accounts
from ollm.gateway.applied import Applied
from ollm.gateway.running import Running
from ollm.gateway.tokens import Tokens
from ollm.net.spread import lot
from ollm.ports import Clock, Keys, Ledger, Sessions, Signer
from ollm.serving.attestation import AttestationService
from ollm.store.reports import Reports
from ollm.traffic.health import Board, Seen
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
    accounts: Accounts  # limits and budgets
    reports: Reports  # of what was used
    board: Board  # what became of the requests so far: breakers, load, speed
    names: Mapping[str, str]  # every name that a model is asked for by → its own
    tokens: Tokens | None = None  # of the issuers that the configuration names; None where it names none
    running: Running = msgspec.field(default_factory=Running)
    random: Callable[[], float] = lot  # for jitter and lots; keeps no secret
    ways: dict[tuple[str, str], Mapping[str, str]] = msgspec.field(default_factory=dict)  # by model and endpoint: `admit` remembers them
    rules: dict[tuple[tuple[str, ...], tuple[str, ...]], Applied] = msgspec.field(default_factory=dict)  # by tables and exceptions
    turns: dict[str, int] = msgspec.field(default_factory=dict)  # by model: requests so far, where they are spread over its upstreams

    def model(self, name: str) -> tuple[str, ModelSettings] | None:
        """The model that is asked for as `name`: its own name and its settings."""
        own = self.names.get(name)
        return (own, self.settings.models[own]) if own is not None else None

    def seen(self, model: str, upstream: str) -> Seen:
        """How the route of `model` (its own name) over `upstream` has done of late."""
        return self.board.of(model, upstream).seen(self.clock.monotonic())

    def __repr__(self) -> str:
        return "<Gateway>"


def names_of(models: Mapping[str, ModelSettings]) -> dict[str, str]:
    """Every name that a model is asked for by → its own."""
    return {name: own for own, model in models.items() for name in (own, *model.aliases)}
