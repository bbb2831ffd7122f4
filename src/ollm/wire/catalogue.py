"""Providers' lists of their models: names, context, and prices as integers, whatever form each provider writes them in.

A list is the provider's word. It is shown to people and compared with the configuration; nothing that decides reads it. So this is strict
about what it takes (names that are safe to show, numbers that are exact) and passes over what it doesn't know. A price that is absent, or
that can't be read, is None: unknown, which is not 0.

    token      "0.0000025"                                   USD per token, a decimal string (OpenRouter's form)
    million    2.5                                           USD per million tokens, a number or a decimal string
    scaled     {"amount": 2500, "scale": 9, "currency": …}   amount · 10^-scale of the currency per token (NEAR AI Cloud)
    micro      "2500000"                                     millionths per million tokens, as OLLM lists its own
"""

import decimal
import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ollm.errors import WireError
from ollm.wire.strict_json import parse_object

Unit: TypeAlias = Literal["token", "million", "scaled", "micro"]

MAX_LIST = 8 * 1024 * 1024  # bytes; OpenRouter's list of some 400 models has about half a megabyte
MAX_ENTRIES = 5000
_MAX_CONTEXT = 1_000_000_000  # tokens
_MAX_RATE = 10**12  # values.usage.Rate
_MILLION = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")  # what the configuration takes for a name: safe in terminals and in TOML
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")
_INTEGER = re.compile(r"[0-9]{1,15}")
# What makes millionths per million tokens of a price per token as each unit has it, and millionths of a price of one thing.
_PER_TOKEN: dict[Unit, int] = {"token": _MILLION * _MILLION, "scaled": _MILLION * _MILLION, "million": _MILLION, "micro": 1}
_EACH: dict[Unit, int] = {"token": _MILLION, "scaled": _MILLION, "million": _MILLION, "micro": 1}
_EXACT = decimal.Context(prec=200)  # more digits than any number that `_DECIMAL` lets through takes


class Rates(msgspec.Struct, frozen=True):
    """Where an entry has its prices, as paths (`pricing.prompt`), and their unit. Without a path there is no such price."""

    unit: Unit
    input: str
    output: str
    cached: str = ""
    more: tuple[tuple[str, str], ...] = ()  # (our name of a rate, its path), per token as the unit says
    fees: tuple[tuple[str, str], ...] = ()  # per_request or per_image, and the path: of one of them, in the unit's currency


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider's list reads. Of several paths, or rates, the first that is there counts."""

    entries: str = "data"
    id: str = "id"
    serves: str = ""  # the member that names what an upstream of one model (`upstreams.NAME.model`) names
    context: tuple[str, ...] = ("context_length", "max_model_len")
    rates: tuple[Rates, ...] = ()


class Offer(msgspec.Struct, frozen=True):
    """One model as its provider lists it. Prices: millionths of USD per million tokens; None where there is none that could be read."""

    id: str
    serves: str | None = None
    context: int | None = None  # tokens
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_long: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    per_request: int | None = None  # millionths of USD for each
    per_image: int | None = None

    def rates(self) -> dict[str, int | None]:
        """What it lists of each rate, by our names."""
        return {name: getattr(self, name) for name in self.__struct_fields__[3:]}


class Page(NamedTuple):
    """What one answer lists."""

    offers: tuple[Offer, ...]
    left_out: int  # entries without a name that can be shown, or with one that stands there twice
    entries: int
    more: bool  # the provider says that it has more


_Members: TypeAlias = Mapping[str, msgspec.Raw]
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


def read(form: Form, body: bytes, offset: int = 0) -> Page:
    """The entries of `body`, of which `offset` came before. Raises: WireError, with a fixed text that never quotes it."""
    if len(body) > MAX_LIST:
        raise WireError(f"the list of models is larger than {MAX_LIST} bytes")
    members = parse_object(body)
    try:
        entries = _list(members[form.entries])
    except (KeyError, msgspec.MsgspecError):
        raise WireError("the answer is no list of models") from None
    if len(entries) > MAX_ENTRIES:
        raise WireError(f"the list has more than {MAX_ENTRIES} models")
    offers: dict[str, Offer] = {}
    for offer in _offers(form, entries):
        offers.setdefault(offer.id, offer)  # of two with one name the first counts
    shown = tuple(offers.values())
    total = _integer(members.get("total"), _MAX_CONTEXT)
    more = bytes(members.get("has_more", b"")) == b"true" or (total is not None and total > offset + len(entries))
    return Page(shown, len(entries) - len(shown), len(entries), more)


def _offers(form: Form, entries: list[msgspec.Raw]) -> Iterator[Offer]:
    for entry in entries:
        try:
            members = _members(entry)
        except msgspec.MsgspecError:
            continue
        name = _name(_at(members, form.id))
        if name is None:
            continue
        rates = next((rates for rates in form.rates if _at(members, rates.input) is not None or _at(members, rates.output) is not None), None)
        contexts = (_integer(_at(members, path), _MAX_CONTEXT) for path in form.context)
        prices = {} if rates is None else _prices(rates, members)
        yield Offer(name, _name(_at(members, form.serves)), next((found for found in contexts if found), None), **prices)


def _prices(rates: Rates, members: _Members) -> dict[str, int | None]:
    """Of rates beside input, output and cached, 0 says that there is none of its own: OpenRouter writes it where reasoning costs as output."""
    plain = (("input", rates.input), ("output", rates.output), ("cached", rates.cached))
    found = {name: _rate(rates.unit, _at(members, path), _PER_TOKEN[rates.unit]) for name, path in plain}
    own = {name: _rate(rates.unit, _at(members, path), _PER_TOKEN[rates.unit]) for name, path in rates.more}
    own |= {name: _rate(rates.unit, _at(members, path), _EACH[rates.unit]) for name, path in rates.fees}
    return found | {name: rate or None for name, rate in own.items()}


def _at(members: _Members, path: str) -> msgspec.Raw | None:
    """The value at `path`; None where there is none, or null."""
    *outer, last = path.split(".")
    for name in outer:
        try:
            members = _members(members.get(name, msgspec.Raw(b"null")))
        except msgspec.MsgspecError:
            return None
    value = members.get(last)
    return None if value is None or bytes(value) == b"null" else value


def _name(value: msgspec.Raw | None) -> str | None:
    text = _string(value)
    return text if text is not None and _NAME.fullmatch(text) else None


def _string(value: msgspec.Raw | None) -> str | None:
    try:
        return None if value is None else _text(value)
    except msgspec.MsgspecError:
        return None


def _integer(value: msgspec.Raw | None, largest: int) -> int | None:
    text = "" if value is None else bytes(value).decode()
    return int(text) if _INTEGER.fullmatch(text) and int(text) <= largest else None


def _rate(unit: Unit, value: msgspec.Raw | None, factor: int) -> int | None:
    """`value` times `factor`, in whole millionths of the currency."""
    if value is None:
        return None
    if unit == "scaled":
        return _scaled(value, factor)
    text = _string(value)
    if text is None and unit != "token":  # a bare number per token is another form's: which one, nobody says
        text = bytes(value).decode()
    if text is None or not _DECIMAL.fullmatch(text):
        return None
    return _whole(_EXACT.multiply(decimal.Decimal(text), factor))


def _scaled(value: msgspec.Raw, factor: int) -> int | None:
    try:
        members = _members(value)
    except msgspec.MsgspecError:
        return None
    amount, scale = _integer(members.get("amount"), 10**15), _integer(members.get("scale"), 30)
    if amount is None or scale is None or _string(members.get("currency")) not in (None, "USD"):
        return None
    return _whole(_EXACT.scaleb(decimal.Decimal(amount * factor), -scale))


def _whole(rate: decimal.Decimal) -> int | None:
    """`rate` in whole millionths: to the nearest, since a float of the provider's stands behind many; what costs anything isn't free."""
    if rate > _MAX_RATE:
        return None
    nearest = int(rate.to_integral_value(decimal.ROUND_HALF_EVEN, _EXACT))
    return max(nearest, 1) if rate else 0
