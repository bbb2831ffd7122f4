"""Who may issue tokens for callers, `[issuers.NAME]`, and what those tokens must say."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.terms import NO_TERMS, Terms
from ollm.wire.jwk import ALGORITHMS

Value = str | int | bool
Count = Annotated[int, msgspec.Meta(ge=1)]

_PROJECT = re.compile(r"proj_[a-z0-9]{1,32}")
_RESERVED = {"iss", "aud", "exp", "nbf", "iat", "sub", "cnf"}  # judged by rules of their own
_MAX_TOKEN_SECONDS = 7 * 86400


class IssuerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One issuer of tokens (an OpenID provider, an authorisation server). Its callers have the role member, whatever a token says."""

    issuer: str  # the exact `iss`
    audience: str  # which `aud` must be, or hold
    jwks: str  # its keys: an https URL, or file:PATH
    algorithms: tuple[str, ...]  # which its signatures may have
    project: str | None = None  # the id of the project that its callers belong to
    project_claim: str | None = None  # or: the claim that says so,
    projects: dict[str, str] = {}  # and its values → ids of projects
    required_claims: dict[str, Value | tuple[Value, ...]] = {}  # claim → the value that it must have, or one of several
    max_token_seconds: Annotated[int, msgspec.Meta(ge=60, le=_MAX_TOKEN_SECONDS)] = 3600  # from `iat` to `exp`
    stale_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] = 24  # how long keys are used that can't be fetched anew
    require: Level = Level.TEE  # lowest execution level, as keys have one
    terms: Terms = NO_TERMS  # of each caller by itself

    @property
    def claims(self) -> dict[str, tuple[Value, ...]]:
        """The required claims, each with all values that will do."""
        return {name: value if isinstance(value, tuple) else (value,) for name, value in self.required_claims.items()}

    @property
    def places(self) -> tuple[str, ...]:
        """Projects that its callers can belong to."""
        return (self.project,) if self.project is not None else tuple(dict.fromkeys(self.projects.values()))


def check_issuers(issuers: Mapping[str, IssuerSettings]) -> None:
    """Raises: ConfigError. Terms are judged with all others (`terms_rules`)."""
    seen: dict[tuple[str, str], str] = {}
    for name, issuer in issuers.items():
        field = f"issuers.{name}"
        if not issuer.issuer or not issuer.audience:
            raise ConfigError(f"{field} has an empty issuer or audience", "write both as they stand in its tokens")
        other = seen.setdefault((issuer.issuer, issuer.audience), name)
        if other != name:
            raise ConfigError(f"{field} has the issuer and the audience of issuers.{other}", "keep one of them")
        _check_algorithms(field, issuer.algorithms)
        _check_source(field, issuer.jwks)
        _check_projects(field, issuer)
        for claim, value in issuer.required_claims.items():
            if claim in _RESERVED:
                raise ConfigError(f"{field}.required_claims names {claim!r}, which has a rule of its own", "leave it out")
            if value == ():
                raise ConfigError(f"{field}.required_claims.{claim} has no value that would do", "name one")


def _check_algorithms(field: str, algorithms: tuple[str, ...]) -> None:
    if not algorithms:
        raise ConfigError(f"{field}.algorithms is empty", 'name those that the issuer signs with, for example ["RS256"]')
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            raise ConfigError(f"{field}.algorithms names {algorithm!r}, which no token may have", f"one of: {', '.join(sorted(ALGORITHMS))}")


def _check_source(field: str, source: str) -> None:
    if source.startswith("file:"):
        if source == "file:":
            raise ConfigError(f"{field}.jwks names no file", "write file:PATH")
        return
    try:
        split = urlsplit(source)
        host = split.hostname or ""
        _ = split.port  # read by name only: it is checked then
    except ValueError:
        raise ConfigError(f"{field}.jwks is not a URL", "write an https URL, or file:PATH") from None
    if not host or (split.scheme != "https" and not (split.scheme == "http" and _is_loopback(host))):
        raise ConfigError(f"{field}.jwks is neither an https URL nor file:PATH", "keys come over https, or http from loopback")
    if split.username or split.password or split.fragment:
        raise ConfigError(f"{field}.jwks has credentials or a fragment in it", "write a plain URL")


def _check_projects(field: str, issuer: IssuerSettings) -> None:
    if (issuer.project is None) == (issuer.project_claim is None):
        raise ConfigError(f"{field} names not one of project and project_claim", "name the project, or the claim that says which")
    if (issuer.project_claim is None) != (not issuer.projects):
        raise ConfigError(f"{field} has only one of project_claim and projects", "name the claim, and a project for each of its values")
    for project in issuer.places:
        if not _PROJECT.fullmatch(project):
            raise ConfigError(f"{field} names project {project!r}, which is no id of one", "ids of projects begin with proj_")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
