"""One artefact as it was had: which request it answers, its exact bytes, and until when it may be used."""

import hashlib
from collections.abc import Mapping

import msgspec

from ollm.net.collateral.kinds import KINDS, Kind
from ollm.net.collateral.periods import Term, term


class Key(msgspec.Struct, frozen=True):
    """What an artefact answers. `identity` is the request itself, so that the copies of two services never mix."""

    kind: str
    subject: str  # for people: a platform family, a chip, the id of a RIM
    identity: str  # the URL, and for a POST what was asked

    @property
    def digest(self) -> str:
        """64 hex that name this key's file."""
        return hashlib.sha256(f"{self.kind} {self.identity}".encode()).hexdigest()

    @property
    def origin(self) -> str:
        """Scheme and host of whom is asked."""
        return "/".join(self.identity.split("/", 3)[:3])

    @property
    def traits(self) -> Kind:
        return KINDS[self.kind]

    def __str__(self) -> str:
        return f"{self.traits.title} of {self.subject}" if self.subject else self.traits.title


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A copy. `soft_end` and `term.end` are Unix seconds."""

    key: Key
    body: bytes
    headers: Mapping[str, str]  # those that the kind asks for
    fetched_at: int
    term: Term

    @property
    def soft_end(self) -> int:
        """When it is asked for anew."""
        refresh = self.key.traits.refresh
        return self.term.end if refresh is None else min(self.fetched_at + refresh, self.term.end)

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(len, self.headers.values()))


def artefact(key: Key, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Artefact:
    """An artefact from bytes that nobody checked. Raises: CollateralError when its period can't be read."""
    kept = {name: headers[name] for name in key.traits.headers if name in headers}
    return Artefact(key=key, body=body, headers=kept, fetched_at=fetched_at, term=term(key.kind, body, kept, fetched_at))
