"""Which counters a request is charged on, and how they are called."""

import msgspec
import pytest

from ollm.traffic.charges import MOST, Alert, Charges, Load, counter_name, meters, named, settled
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges

NOW = 1_795_478_759  # 2026-11-24T00:05:59Z, a Tuesday
MINUTE, DAY, MONTH = 1_795_478_700, 1_795_478_400, 1_793_491_200
LOAD = Load(tokens=700, micro=30)


def test_each_limit_and_budget_above_a_request_has_a_charge_of_its_own() -> None:
    standing = [
        ("org_1", Terms(budgets=(Budget(limit_micro=1000),))),
        ("proj_1", Terms(limits=(Limit(parallel=3, tokens_per_day=9000),))),
        ("0a1b", Terms(limits=(Limit(model="acme/large", requests_per_minute=5, tokens_per_minute=800, requests_per_day=50),))),
    ]
    found = charges(standing, "acme/large", LOAD, NOW)
    assert [(meter.name, amount, meter.limit, meter.kind) for meter, amount in zip(found.meters.each, found.amounts, strict=True)] == [
        (f"money|org_1|*|month|{MONTH}", 30, 1000, "organization"),
        ("parallel|proj_1|*|now|0", 1, 3, "project"),
        (f"tokens|proj_1|*|day|{DAY}", 700, 9000, "project"),
        (f"requests|0a1b|acme/large|minute|{MINUTE}", 1, 5, "key"),
        (f"requests|0a1b|acme/large|day|{DAY}", 1, 50, "key"),
        (f"tokens|0a1b|acme/large|minute|{MINUTE}", 700, 800, "key"),
    ]
    assert len(set(found.meters.names)) == len(found.amounts)


def test_a_limit_for_another_model_does_not_count() -> None:
    terms = Terms(limits=(Limit(model="acme/small", requests_per_minute=1), Limit(requests_per_minute=9)))
    assert meters((("k", terms),), "acme/large", NOW).limits == (9,)


def test_nothing_is_charged_where_nothing_is_limited() -> None:
    assert charges([("org_1", Terms()), ("k", Terms(limits=(Limit(),)))], "m", LOAD, NOW).amounts == ()


def test_a_counter_outlives_its_window_for_late_answers() -> None:
    terms = Terms(limits=(Limit(parallel=1, requests_per_minute=1, requests_per_day=1),), budgets=(Budget(limit_micro=1, window="hour"),))
    parallel, minute, day, hour = meters((("k", terms),), "m", NOW).each
    assert (minute.end, minute.forget_ms) == (MINUTE + 60, (MINUTE + 120) * 1000)
    assert (day.end, day.forget_ms) == (DAY + 86_400, (DAY + 2 * 86_400) * 1000)
    assert hour.forget_ms == (hour.end + 3600) * 1000
    assert (NOW + 86_400) * 1000 <= parallel.forget_ms <= (NOW + 86_460) * 1000


def test_settled_amounts_stay_with_the_windows_of_the_reserve() -> None:
    terms = Terms(limits=(Limit(parallel=2, requests_per_minute=5, tokens_per_minute=800),), budgets=(Budget(limit_micro=1000),))
    reserved = charges([("k", terms)], "m", LOAD, NOW)
    actual = settled(reserved, Load(tokens=11, micro=2))
    assert reserved.amounts == (1, 1, 700, 30)
    assert actual.amounts == (0, 1, 11, 2)
    assert actual.meters == reserved.meters
    assert settled(reserved, Load(tokens=MOST + 1, micro=MOST + 1)).amounts == (0, 1, MOST, MOST)


@pytest.mark.parametrize("load", [Load(tokens=-1, micro=0), Load(tokens=0, micro=-1), Load(tokens=MOST + 1, micro=0), Load(tokens=0, micro=MOST + 1)])
def test_amounts_out_of_range_are_refused(load: Load) -> None:
    with pytest.raises(ValueError, match="amount"):
        charges([("k", Terms(budgets=(Budget(limit_micro=1),)))], "m", load, NOW)


@pytest.mark.parametrize(("scope", "model"), [("", "m"), ("a|b", "m"), ("a\n", "m"), ("k", "a|b"), ("k", "*"), ("k" * 129, "m")])
def test_names_hold_nothing_but_ids(scope: str, model: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        charges([(scope, Terms(limits=(Limit(model=model, requests_per_day=1),)))], model, LOAD, NOW)


def test_a_charge_is_found_again_from_the_name_of_its_counter() -> None:
    terms = Terms(limits=(Limit(parallel=2, requests_per_minute=5), Limit(model="a/b:c@d", tokens_per_day=1)), budgets=(Budget(limit_micro=9),))
    for meter in meters((("proj_1", terms),), "a/b:c@d", NOW).each:
        assert named(meter.name, NOW) == msgspec.structs.replace(meter, limit=0, alerts=())
        assert counter_name(meter.what, meter.scope, meter.model, meter.span, NOW) == meter.name


def test_meters_are_told_once_a_minute_and_lie_beside_what_is_asked_of_each() -> None:
    terms = Terms(limits=(Limit(parallel=2, requests_per_minute=5, tokens_per_day=9),), budgets=(Budget(limit_micro=999, alerts=(50, 100)),))
    standing = (("k", terms),)
    found = meters(standing, "m", NOW)
    assert meters((("k", Terms(limits=terms.limits, budgets=terms.budgets)),), "m", NOW - NOW % 60) is found
    later = meters(standing, "m", NOW + 1)
    assert (found.names[0], found.names[2:]) == (later.names[0], later.names[2:])
    assert found.names[1] != later.names[1], "the next minute"
    assert (found.names, found.limits) == (tuple(meter.name for meter in found.each), (2, 5, 9, 999))
    assert (found.requests, found.tokens, found.money) == ((1,), (2,), (3,)), "what is under way is no rate"
    assert found.alerts == (Alert(3, 50, 500), Alert(3, 100, 999)), "half of 999 is reached with 500"


@pytest.mark.parametrize(
    ("terms", "tokens", "money"),
    [
        (Terms(limits=(Limit(tokens_per_day=1),)), True, False),
        (Terms(limits=(Limit(model="m", tokens_per_minute=1),)), True, False),
        (Terms(limits=(Limit(model="n", tokens_per_minute=1), Limit(requests_per_day=1, parallel=1))), False, False),
        (Terms(budgets=(Budget(limit_micro=1),)), False, True),
        (Terms(max_request_micro=1), False, False),
    ],
)
def test_which_terms_limit_tokens_and_which_money(terms: Terms, tokens: bool, money: bool) -> None:
    found = meters((("k", terms),), "m", NOW)
    assert (bool(found.tokens), bool(found.money)) == (tokens, money)


def test_some_of_the_charges() -> None:
    terms = Terms(limits=(Limit(parallel=2, tokens_per_day=9),), budgets=(Budget(limit_micro=999),))
    found = charges([("k", terms)], "m", LOAD, NOW)
    assert found.some([2, 0]) == Charges(found.some([2, 0]).meters, (30, 1))
    assert found.some([2, 0]).meters.names == (found.meters.names[2], found.meters.names[0])
    assert found.some([2, 0]).meters.money == (0,)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "money",
        "money|k|*|month",
        "gold|k|*|month|0",
        "money|k|*|decade|0",
        "money|k|*|month|x",
        "money|k|*|month|1",
        "money|k|*|month|00",
        "parallel|k|*|now|5",
        "money||*|month|0",
    ],
)
def test_what_is_no_name_of_a_counter_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="counter"):
        named(name, NOW)
