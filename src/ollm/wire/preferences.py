"""What a caller demands of the route and prefers among those that meet it: `provider` in the body, `X-OLLM-…` headers beside it.

    order               upstreams that are tried first, in this order
    only, ignore        upstreams that alone may serve, that must not
    allow_fallbacks     false: none but those in `order` may serve; without `order`, none but the first
    require_parameters  true: only routes that take the request as it is, without a translation that could lose members of it
    max_price           {prompt, completion}: USD per million tokens; a price that is not configured is too high
    sort                price, latency, throughput: what decides the order
    zdr                 true: level zdr at least; false changes nothing
    aci_verified        true: level tee at least (ACI §6); false changes nothing
    aci_session_ids     one of these sessions, whatever its level (ACI §6)

These members are consumed here and never go on: they name upstreams of this gateway. Others in `provider` are for the provider, and
go on byte for byte. None of them can loosen anything: what key and configuration demand holds beside them.
"""

import decimal
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from ollm.errors import WireError
from ollm.values.hexes import Hex32, hex32
from ollm.values.level import Level, strictest
from ollm.values.secret import Hidden

MAX_SESSION_IDS = 64
MAX_NAMES = 64
REQUIRE = b"x-ollm-require"
SESSIONS = b"x-ollm-sessions"
STATED = frozenset((REQUIRE, SESSIONS))  # the headers that `stated` looks for

_MICRO = 1_000_000
_Members: TypeAlias = dict[str, msgspec.Raw]
Sort = Literal["price", "latency", "throughput"]


class MaxPrice(msgspec.Struct, frozen=True):
    """The most that a caller pays, in micro-units of currency per million tokens; None: whatever it is."""

    prompt: int | None = None
    completion: int | None = None


class Preferences(Hidden, frozen=True):
    """See the module. `level` is what `zdr` and `X-OLLM-Require` demand at least. No repr: names are what the caller wrote."""

    verified: bool = False
    session_ids: tuple[Hex32, ...] = ()
    level: Level = Level.SIMULATED
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    max_price: MaxPrice | None = None
    sort: Sort | None = None

    @property
    def named(self) -> frozenset[str]:
        """All upstreams that it names."""
        return frozenset((*self.order, *self.only, *self.ignore))


NO_PREFERENCES = Preferences()


class _Price(msgspec.Struct, forbid_unknown_fields=True):
    prompt: decimal.Decimal | None = None
    completion: decimal.Decimal | None = None


_object = msgspec.json.Decoder(_Members | None).decode
_flag = msgspec.json.Decoder(bool | None).decode
_strict_flag = msgspec.json.Decoder(bool).decode
_ids = msgspec.json.Decoder(list[str]).decode
_names = msgspec.json.Decoder(list[str] | None).decode
_sort = msgspec.json.Decoder(Sort | None).decode
_price = msgspec.json.Decoder(_Price | None).decode

_OURS = frozenset({"order", "only", "ignore", "allow_fallbacks", "require_parameters", "max_price", "sort", "zdr"})


def take(members: _Members) -> tuple[Preferences, _Members | None]:
    """Our preferences in `provider`, and what is left of it for the provider; None where it goes on as it came.

    Raises: WireError with the member at fault, for members of another type, `aci_` members that nobody knows, and contradictions.
    """
    if "provider" not in members:
        return NO_PREFERENCES, None
    provider = _read(members, "provider", _object, "an object", within="")
    ours = [name for name in provider or () if name in _OURS or name.startswith("aci_")]
    if not provider or not ours:
        return NO_PREFERENCES, None
    verified, ids = _aci(provider, ours)
    preferences = Preferences(
        verified=verified,
        session_ids=ids,
        level=Level.ZDR if _read(provider, "zdr", _flag, "a boolean") else Level.SIMULATED,
        order=_named(provider, "order"),
        only=_named(provider, "only"),
        ignore=_named(provider, "ignore"),
        allow_fallbacks=_read(provider, "allow_fallbacks", _flag, "a boolean") is not False,
        require_parameters=bool(_read(provider, "require_parameters", _flag, "a boolean")),
        max_price=_most(provider),
        sort=_read(provider, "sort", _sort, "price, latency or throughput"),
    )
    _check(preferences)
    return preferences, {name: value for name, value in provider.items() if name not in ours}


def stated(headers: Iterable[tuple[bytes, bytes]]) -> Preferences:
    """The preferences in a request's headers, for clients that can't add members to a body. Names are lowercase.

    Raises: WireError for a header that is given twice, or whose value is none.
    """
    found = [field for field in headers if field[0] in STATED]
    if not found:
        return NO_PREFERENCES
    values = dict(found)
    for name in values:
        if sum(each == name for each, _ in found) > 1:
            raise WireError(f"the header {name.decode()} is given more than once", name.decode())
    level = Level.SIMULATED
    ids: tuple[Hex32, ...] = ()
    if REQUIRE in values:
        try:
            level = Level(values[REQUIRE].decode("latin-1"))
        except ValueError:
            raise WireError("x-ollm-require must be tee, zdr or simulated", REQUIRE.decode()) from None
    if SESSIONS in values:
        ids = _session_ids([text.strip() for text in values[SESSIONS].decode("latin-1").split(",")], "x-ollm-sessions", SESSIONS.decode())
    return Preferences(level=level, session_ids=ids)


def combined(inside: Preferences, beside: Preferences) -> Preferences:
    """Preferences of the body with those of the headers: each tightens the other. Raises: WireError where they contradict each other."""
    if beside is NO_PREFERENCES:
        return inside
    if inside.session_ids and beside.session_ids and set(inside.session_ids) != set(beside.session_ids):
        raise WireError("x-ollm-sessions and provider.aci_session_ids name different sessions", SESSIONS.decode())
    ids = inside.session_ids or beside.session_ids
    return msgspec.structs.replace(inside, level=strictest(inside.level, beside.level), session_ids=ids)


def _aci(provider: _Members, ours: list[str]) -> tuple[bool, tuple[Hex32, ...]]:
    verified = _read(provider, "aci_verified", _strict_flag, "a boolean")
    ids = _read(provider, "aci_session_ids", _ids, "a list of session ids")
    if set(ours) - _OURS - {"aci_verified", "aci_session_ids"}:
        raise WireError("provider has an aci_ member that this gateway does not know", "provider")
    if ids is None:
        return bool(verified), ()
    if verified is False:
        raise WireError("aci_session_ids contradicts aci_verified: false", "provider.aci_verified")
    return True, _session_ids(ids, "aci_session_ids", "provider.aci_session_ids")


def _session_ids(texts: list[str], what: str, param: str) -> tuple[Hex32, ...]:
    if not 0 < len(texts) <= MAX_SESSION_IDS:
        raise WireError(f"{what} must have 1 to {MAX_SESSION_IDS} entries", param)
    try:
        return tuple(map(hex32, texts))
    except WireError as error:
        raise WireError(error.reason, param) from None


def _named(provider: _Members, name: str) -> tuple[str, ...]:
    found = _read(provider, name, _names, "a list of names of upstreams")
    if found is None:
        return ()
    if len(found) > MAX_NAMES or len(set(found)) != len(found):
        raise WireError(f"{name} must have at most {MAX_NAMES} names, each of them once", "provider." + name)
    if name == "only" and not found:
        raise WireError("only must name at least one upstream", "provider.only")
    return tuple(found)


def _most(provider: _Members) -> MaxPrice | None:
    found: _Price | None = _read(provider, "max_price", _price, "an object with prompt and completion, in USD per million tokens")
    if found is None:
        return None
    return MaxPrice(_micro(found.prompt), _micro(found.completion))


def _micro(price: decimal.Decimal | None) -> int | None:
    if price is None:
        return None
    if not price.is_finite() or not 0 <= price <= _MICRO:
        raise WireError("max_price must be between 0 and 1000000 USD per million tokens", "provider.max_price")
    return int(price * _MICRO)


def _check(preferences: Preferences) -> None:
    """Raises: WireError for preferences that contradict each other."""
    order, only, ignore = set(preferences.order), set(preferences.only), set(preferences.ignore)
    if ignore & (order | only):
        raise WireError("ignore names an upstream that order or only names too", "provider.ignore")
    if only and order - only:
        raise WireError("order names an upstream that only leaves out", "provider.order")
    if preferences.sort is not None and order:
        raise WireError("sort and order both say which upstream is tried first", "provider.sort")


def _read(members: _Members, name: str, decode: Any, kind: str, *, within: str = "provider.") -> Any:
    """The member `name`, or None when it is absent. Raises: WireError when it is not `kind`."""
    raw = members.get(name)
    if raw is None:
        return None
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError(f"{name} must be {kind}", within + name) from None
