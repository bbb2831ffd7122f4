"""Prices in the configuration: forms that are taken, and what is refused with cause and mend."""

import datetime

import pytest

from ollm.config.load import parse
from ollm.errors import ConfigError
from ollm.values.price import Above, Price, Schedule

POLICY = """\
[policies.p]
level = "tee"
"""
UPSTREAM = """\
[upstreams.u]
url = "https://provider.example"
policy = "p"
"""
MODEL = POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\n'


def prices(text: str, model: str = MODEL) -> tuple[Price, ...]:
    return parse((model + text).encode()).models["m"].prices


def test_a_price_in_one_line() -> None:
    assert prices("price = { input = 1, output = 2 }") == (Price(1, 2),)
    assert prices("") == ()


def test_versions_of_a_price() -> None:
    text = """
[[models.m.price]]
version = "spring"
input = 1
output = 2

[[models.m.price]]
version = "july"
effective_from = 2026-07-01
source = "https://provider.example/pricing?plan=api"
currency = "USD"
input = 3
output = 4
"""
    spring, july = prices(text)
    assert (spring.version, spring.effective_from, spring.input) == ("spring", None, 1)
    assert (july.version, july.effective_from, july.input) == ("july", datetime.date(2026, 7, 1), 3)
    assert july.source == "https://provider.example/pricing?plan=api"


def test_a_date_can_be_a_text() -> None:
    assert prices('price = { input = 1, effective_from = "2026-07-01" }')[0].effective_from == datetime.date(2026, 7, 1)


@pytest.mark.parametrize("table", ["[prices.shared]", "[[prices.shared]]"])
def test_a_price_that_models_share(table: str) -> None:
    text = f'price = "shared"\n{table}\ninput = 5\noutput = 6\n'
    assert prices(text) == (Price(5, 6),)


def test_tiers_and_thresholds() -> None:
    text = """
[models.m.price]
input = 10
output = 20
above = [{ tokens = 200000, input = 20, output = 40 }]
[models.m.price.tiers.flex]
input = 5
output = 10
above = [{ tokens = 200000, input = 6, output = 11 }]
"""
    flex = Schedule(5, 10, above=(Above(6, 11, tokens=200_000),))
    assert prices(text) == (Price(10, 20, above=(Above(20, 40, tokens=200_000),), tiers={"flex": flex}),)


def test_every_price_is_in_the_currency_of_the_installation() -> None:
    euros = '[gateway]\ncurrency = "EUR"\n'
    assert parse((euros + MODEL + 'price = { input = 1, currency = "EUR" }').encode()).gateway.currency == "EUR"
    with pytest.raises(ConfigError) as refused:
        parse((euros + MODEL + 'price = { input = 1, currency = "USD" }').encode())
    assert refused.value.cause == "models.m.price.currency 'USD' is not gateway.currency, 'EUR'"
    with pytest.raises(ConfigError, match=r"gateway\.currency 'Euro' is no currency"):
        parse(b'[gateway]\ncurrency = "Euro"\n')


REFUSED = {
    "unknown reference": ('price = "elsewhere"', "models.m.price names price 'elsewhere', which is not configured", "[prices."),
    "no version": ("price = []", "models.m.price is empty", "leave it out"),
    "nothing stated": ("price = { }", "models.m.price states no rate", "leave the price out"),
    "two without a day": (
        "price = [{ input = 1, version = 'a' }, { input = 2, version = 'b' }]",
        "models.m.price has two versions that hold from the same day: always",
        "effective_from",
    ),
    "two of one day": (
        "price = [{ input = 1, version = 'a', effective_from = 2026-07-01 }, { input = 2, version = 'b', effective_from = '2026-07-01' }]",
        "models.m.price has two versions that hold from the same day: 2026-07-01",
        "effective_from",
    ),
    "two of one name": (
        "price = [{ input = 1 }, { input = 2, effective_from = 2026-07-01 }]",
        "models.m.price has two versions called 'config'",
        "version of its own",
    ),
    "no day": ("price = { input = 1, effective_from = '2026-13-01' }", "Invalid RFC3339 encoded date", "config.md"),
    "no page": ("price = { input = 1, source = 'the usual place' }", "models.m.price.source is no URL", "https://"),
    "no name": ("price = { input = 1, version = 'of May' }", "models.m.price.version is not a name", "letters"),
    "unknown tier": ("price = { input = 1, tiers = { turbo = { input = 1 } } }", "Invalid enum value 'turbo'", "config.md"),
    "the usual tier": ("price = { input = 1, tiers = { default = { input = 1 } } }", "Invalid enum value 'default'", "config.md"),
    "unknown rate": ("price = { input = 1, thinking = 1 }", "unknown field `thinking`", "config.md"),
    "negative": ("price = { input = -1 }", "Expected `int` >= 0", "config.md"),
    "an incomplete tier": (
        "price = { input = 1, output = 2, cached = 0, tiers = { flex = { input = 1 } } }",
        "models.m.price.tiers.flex doesn't state cached, output, which the price itself states",
        "each of its rates",
    ),
    "an incomplete threshold": (
        "price = { input = 1, output = 2, above = [{ tokens = 9, input = 1 }] }",
        "models.m.price.above, 9 tokens, doesn't state output",
        "each of its rates",
    ),
    "an incomplete threshold of a tier": (
        "price = { input = 1, tiers = { flex = { input = 1, output = 1, above = [{ tokens = 9, input = 1 }] } } }",
        "models.m.price.tiers.flex.above, 9 tokens, doesn't state output",
        "each of its rates",
    ),
    "a threshold twice": (
        "price = { input = 1, above = [{ tokens = 9, input = 1 }, { tokens = 9, input = 2 }] }",
        "models.m.price.above has 9 twice",
        "once",
    ),
    "a bad shared price": ("[prices.p]\nsource = 'x'\ninput = 1", "prices.p.source is no URL", "https://"),
    "a bad name": ("[prices.'a b']\ninput = 1", "price name 'a b' has characters that a name can't have", "letters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_a_price_is_refused(name: str) -> None:
    text, cause, mend = REFUSED[name]
    with pytest.raises(ConfigError) as refused:
        prices(text)
    assert cause in refused.value.cause
    assert mend in refused.value.mend
