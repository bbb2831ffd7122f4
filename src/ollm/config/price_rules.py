"""Rules of prices that no type can hold: references, versions and their days, currency, and what a tier or a threshold must state."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from ollm.config.settings import GatewaySettings, ModelSettings
from ollm.errors import ConfigError
from ollm.values.price import Price, Rates, Schedule

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,63}")  # it ends up in the ledger
_CURRENCY = re.compile(r"[A-Z]{3}")  # ISO 4217
_SOURCE = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,500}")

Versions = tuple[Price, ...]


def resolved(models: Mapping[str, ModelSettings], prices: Mapping[str, Price | Versions], gateway: GatewaySettings) -> dict[str, ModelSettings]:
    """The models, each with the versions of its price in place of a reference to them. Raises: ConfigError."""
    if not _CURRENCY.fullmatch(gateway.currency):
        raise ConfigError(f"gateway.currency {gateway.currency!r} is no currency", 'three capital letters, such as "USD"')
    named = {name: _versions(f"prices.{name}", price, gateway.currency) for name, price in prices.items()}
    return {name: _priced(name, model, named, gateway.currency) for name, model in models.items()}


def _priced(name: str, model: ModelSettings, named: Mapping[str, Versions], currency: str) -> ModelSettings:
    price = model.price
    if price is None:
        return model
    where = f"models.{name}.price"
    if isinstance(price, str):
        if price not in named:
            raise ConfigError(f"{where} names price {price!r}, which is not configured", f"add [prices.{price!r}]")
        return msgspec.structs.replace(model, price=named[price])
    return msgspec.structs.replace(model, price=_versions(where, price, currency))


def _versions(where: str, price: Price | Versions, currency: str) -> Versions:
    versions = price if isinstance(price, tuple) else (price,)
    if not versions:
        raise ConfigError(f"{where} is empty", "leave it out where the price isn't known")
    for version in versions:
        _check_version(where, version, currency)
    for name in _twice(version.version for version in versions):
        raise ConfigError(f"{where} has two versions called {name!r}", "give each a version of its own: it stands beside each cost in the ledger")
    for day in _twice(str(version.effective_from or "always") for version in versions):
        raise ConfigError(f"{where} has two versions that hold from the same day: {day}", "give each its own effective_from")
    return versions


def _twice(values: Iterator[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _check_version(where: str, price: Price, currency: str) -> None:
    if not _VERSION.fullmatch(price.version):
        raise ConfigError(f"{where}.version is not a name of at most 64 characters", "use letters, digits and . _ : / @ -")
    if price.currency not in (None, currency):
        raise ConfigError(
            f"{where}.currency {price.currency!r} is not gateway.currency, {currency!r}", "convert it: one installation has one currency"
        )
    if price.source is not None and not _SOURCE.fullmatch(price.source):
        raise ConfigError(f"{where}.source is no URL", "the page that the price was read from, https://…")
    if not price.stated():
        raise ConfigError(f"{where} states no rate", "at least input and output, or leave the price out: then cost is recorded as unknown")
    _check_steps(where, price)
    for tier, schedule in price.tiers.items():
        _check_complete(f"{where}.tiers.{tier}", price, schedule)
        _check_steps(f"{where}.tiers.{tier}", schedule)


def _check_steps(where: str, schedule: Schedule) -> None:
    for tokens in _twice(str(step.tokens) for step in schedule.above):
        raise ConfigError(f"{where}.above has {tokens} twice", "give each threshold once")
    for step in schedule.above:
        _check_complete(f"{where}.above, {step.tokens} tokens,", schedule, step)


def _check_complete(where: str, price: Rates, other: Rates) -> None:
    """`other` stands in place of `price`, all of it: a rate that it left out would silently be another's."""
    missing = sorted(price.stated() - other.stated())
    if missing:
        raise ConfigError(
            f"{where} doesn't state {', '.join(missing)}, which the price itself states", "state each of its rates, even where it is the same"
        )
