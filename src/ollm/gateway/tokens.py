"""Callers with a token of an issuer that the configuration names, in place of a key of ours.

Two steps: `identify` verifies the token, and may have to wait for the issuer's keys; what the caller may do is then judged as for a key.
Nothing in a token but the named claims is looked at, and none of it is kept: the ledger knows such a caller by a pseudonym.
"""

import base64
import logging
from collections.abc import Mapping

import msgspec

from ollm.config.issuers import IssuerSettings
from ollm.errors import TokenRefused
from ollm.net.key_set import IssuerKeys
from ollm.ports import Clock, Projects
from ollm.serving.http import Scope, bearer
from ollm.values.identity import Role
from ollm.values.mac import MacKey
from ollm.values.standing import Standing, standing_of
from ollm.wire.jwt import Token, Wanted, has_audience, is_token, judge, parse, values, verify

log = logging.getLogger("ollm.gateway")

_LABEL = b"ollm token subject v1\0"


class Issued(msgspec.Struct, frozen=True):
    """A verified token's caller: whose token it is, and where the caller belongs."""

    issuer: str  # its name in the configuration
    project: str
    key_id: str  # the pseudonym


class Issuer(msgspec.Struct, frozen=True):
    """One configured issuer and its keys."""

    name: str
    settings: IssuerSettings
    keys: IssuerKeys


class Tokens:
    """All issuers. `pepper` keys the pseudonyms; `projects` knows what stands above a caller."""

    def __init__(self, issuers: Mapping[str, Issuer], projects: Projects, clock: Clock, pepper: bytes) -> None:
        self._issuers = issuers
        self._projects = projects
        self._clock = clock
        self._pseudonyms = MacKey(pepper)

    async def identify(self, scope: Scope) -> Issued | None:
        """Whose token the request shows; None where it shows none, or none that is valid. Why not is logged, without a word of the token."""
        text = bearer(scope)
        if text is None or not is_token(text):
            return None
        name = None
        try:
            token = parse(text)
            issuer = self._issuer(token)
            name = issuer.name
            return await self._verified(token, issuer)
        except TokenRefused as refusal:
            log.warning("a caller's token was refused", extra={"check": refusal.check, "issuer": name})
            return None

    def standing(self, issued: Issued) -> Standing | None:
        """What the caller may do now; None where its issuer isn't configured any more, or its project is gone."""
        issuer, place = self._issuers.get(issued.issuer), self._projects.place(issued.project)
        if issuer is None or place is None:
            return None
        above = {**place.above, issued.key_id: issuer.settings.terms}
        return standing_of(issued.key_id, Role.MEMBER, issuer.settings.require, above, project_id=place.project_id, org_id=place.org_id)

    def _issuer(self, token: Token) -> Issuer:
        """The issuer that the token names, for one of its audiences. Raises: TokenRefused."""
        named = [each for each in self._issuers.values() if each.settings.issuer == token.issuer]
        if not named:
            raise TokenRefused("issuer")
        meant = [each for each in named if has_audience(token, each.settings.audience)]
        if len(meant) != 1:
            raise TokenRefused("audience")
        return meant[0]

    async def _verified(self, token: Token, issuer: Issuer) -> Issued:
        """Raises: TokenRefused."""
        settings = issuer.settings
        if token.algorithm not in settings.algorithms:
            raise TokenRefused("algorithm")
        key = await issuer.keys.find(token.key_id, token.algorithm)
        if key is None:
            raise TokenRefused("key")
        verify(token, key)
        wanted = Wanted(settings.audience, settings.max_token_seconds, settings.claims)
        subject = judge(token, wanted, self._clock.now())
        found = Issued(issuer.name, _project(token, settings), self._pseudonym(token.issuer, subject))
        if self.standing(found) is None:
            raise TokenRefused("project")
        return found

    def _pseudonym(self, issuer: str, subject: str) -> str:
        """'j' and 75 bits, in characters of a key's id: the same for one subject of one issuer, and nothing to whoever lacks the pepper."""
        mac = self._pseudonyms.digest(_LABEL + msgspec.json.encode([issuer, subject]))
        return "j" + base64.b32encode(mac[:10]).decode().lower()[:15]


def _project(token: Token, settings: IssuerSettings) -> str:
    """Raises: TokenRefused where the claim names no project, or several."""
    if settings.project_claim is None:
        return settings.project or ""
    said = [value for value in values(token, settings.project_claim) if isinstance(value, str)]
    found = {settings.projects[value] for value in said if value in settings.projects}
    if len(found) != 1:
        raise TokenRefused("project")
    return found.pop()
