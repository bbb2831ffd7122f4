"""Terms from options, money as people write it, projects by id or name."""

from pathlib import Path

import pytest

from ollm.cli.administering import changing, day_of, micro_of, money_of, project_named, reading, terms_of
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError
from ollm.store.changes import local_actor
from ollm.store.identity import create_project
from ollm.values.terms import Budget, Limit, Terms


@pytest.fixture
def loaded(config: Path) -> Loaded:
    with config.open("a") as file:
        file.write('\n[upstreams.acme]\nadapter = "openai"\n[models.small]\nupstreams = ["acme"]\n[models."a:b"]\nupstreams = ["acme"]\n')
    return load(config)


def test_terms(loaded: Loaded) -> None:
    limits = ["requests_per_minute=60", "small:tokens_per_day=5", "small:parallel=1", "a:b:requests_per_day=0"]
    assert terms_of(loaded, ["small"], ["10.0.0.0/8"], limits, ["month=25.50", "day=1"]) == Terms(
        models=("small",),
        networks=("10.0.0.0/8",),
        limits=(Limit(requests_per_minute=60), Limit(model="small", tokens_per_day=5, parallel=1), Limit(model="a:b", requests_per_day=0)),
        budgets=(Budget(limit_micro=25_500_000), Budget(limit_micro=1_000_000, window="day")),
    )
    assert terms_of(loaded, None, None, None, None) == Terms()


@pytest.mark.parametrize("limit", ["", "60", "requests=60", "requests_per_minute", "requests_per_minute=-1", "requests_per_minute=x", "model=5"])
def test_limits_that_are_none(loaded: Loaded, limit: str) -> None:
    with pytest.raises(ConfigError, match="is no limit"):
        terms_of(loaded, None, None, [limit], None)


def test_a_limit_given_twice(loaded: Loaded) -> None:
    with pytest.raises(ConfigError, match="twice"):
        terms_of(loaded, None, None, ["parallel=1", "parallel=2"], None)


@pytest.mark.parametrize("budget", ["", "5", "month", "month=", "month=-5", "month=5,5", "month=1.1234567", "fortnight=5"])
def test_budgets_that_are_none(loaded: Loaded, budget: str) -> None:
    with pytest.raises(ConfigError, match="is no budget"):
        terms_of(loaded, None, None, None, [budget])


@pytest.mark.parametrize(
    ("models", "networks", "limits"), [(["larg"], None, None), (["a b"], None, None), (None, ["10.0.0.1/8"], None), (None, None, ["larg:parallel=1"])]
)
def test_references_to_nothing(loaded: Loaded, models: list[str] | None, networks: list[str] | None, limits: list[str] | None) -> None:
    with pytest.raises(ConfigError):
        terms_of(loaded, models, networks, limits, None)


@pytest.mark.parametrize(
    ("text", "micro"), [("0", 0), ("25", 25_000_000), ("25.5", 25_500_000), ("0.000001", 1), (".5", None), ("٣", None), ("5.", None)]
)
def test_money_as_it_is_written(text: str, micro: int | None) -> None:
    assert micro_of(text) == micro


@pytest.mark.parametrize(("micro", "text"), [(0, "0.0000 EUR"), (25_500_000, "25.5000 EUR"), (1, "0.000001 EUR"), (-1_000_100, "-1.0001 EUR")])
def test_money_as_it_is_read(micro: int, text: str) -> None:
    assert money_of(micro, "EUR") == text


def test_days() -> None:
    assert (day_of(None), day_of(0)) == ("-", "1970-01-01")


def test_projects_by_id_and_by_name(loaded: Loaded) -> None:
    made = changing(loaded, lambda changes: create_project(changes, "Payroll"))
    assert reading(loaded, lambda view: project_named(view, "Payroll")) == made
    assert reading(loaded, lambda view: project_named(view, made.project_id)) == made
    with pytest.raises(ConfigError, match="no project"):
        reading(loaded, lambda view: project_named(view, "payroll"))


def test_who_did_it_is_a_user_of_the_machine() -> None:
    assert local_actor().startswith("local_")
