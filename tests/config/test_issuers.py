"""Issuers in the configuration: what they say, and what is refused before anything starts."""

from typing import Any

import pytest

from ollm.config.issuers import IssuerSettings
from ollm.config.load import parse
from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.terms import Limit, Terms
from tests.stage import toml

MODELS = {"upstreams": {"u": {"adapter": "openai", "api_key": "env:KEY"}}, "models": {"demo": {"upstreams": ["u"]}}}
USUAL = {
    "issuer": "https://login.example.test/",
    "audience": "ollm",
    "jwks": "https://login.example.test/keys",
    "algorithms": ["RS256"],
    "project": "proj_default",
}


def read(**changed: Any) -> IssuerSettings:
    table = {name: value for name, value in {**USUAL, **changed}.items() if value is not None}
    return parse(toml({**MODELS, "issuers": {"corp": table}}).encode()).issuers["corp"]


def test_an_issuer_with_everything() -> None:
    found = read(
        project=None,
        project_claim="groups",
        projects={"research": "proj_a", "sales": "proj_b", "more sales": "proj_b"},
        required_claims={"tier": "prod", "level": [1, 2]},
        max_token_seconds=600,
        stale_hours=2,
        require="zdr",
        terms={"models": ["demo"], "limits": [{"requests_per_minute": 5}]},
    )
    assert found.places == ("proj_a", "proj_b")
    assert found.claims == {"tier": ("prod",), "level": (1, 2)}
    assert (found.max_token_seconds, found.stale_hours, found.require) == (600, 2, Level.ZDR)
    assert found.terms == Terms(models=("demo",), limits=(Limit(requests_per_minute=5),))


def test_the_defaults_are_strict() -> None:
    found = read()
    assert (found.places, found.claims, found.max_token_seconds, found.stale_hours, found.require) == (("proj_default",), {}, 3600, 24, Level.TEE)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"issuer": ""}, "empty issuer or audience"),
        ({"audience": ""}, "empty issuer or audience"),
        ({"audience": None}, "audience"),
        ({"algorithms": []}, "algorithms is empty"),
        ({"algorithms": ["HS256"]}, "'HS256', which no token may have"),
        ({"algorithms": ["none"]}, "'none', which no token may have"),
        ({"algorithms": ["RS256", "ES256K"]}, "'ES256K', which no token may have"),
        ({"jwks": "http://login.example.test/keys"}, "neither an https URL nor file:PATH"),
        ({"jwks": "keys.json"}, "neither an https URL nor file:PATH"),
        ({"jwks": "https://user:word@login.example.test/keys"}, "credentials or a fragment"),
        ({"jwks": "https://login.example.test/keys#a"}, "credentials or a fragment"),
        ({"jwks": "https://[/keys"}, "not a URL"),
        ({"jwks": "file:"}, "names no file"),
        ({"project": None}, "not one of project and project_claim"),
        ({"project_claim": "groups", "projects": {"a": "proj_a"}}, "not one of project and project_claim"),
        ({"project": None, "project_claim": "groups"}, "only one of project_claim and projects"),
        ({"projects": {"a": "proj_a"}}, "only one of project_claim and projects"),
        ({"project": "default"}, "which is no id of one"),
        ({"required_claims": {"aud": "x"}}, "which has a rule of its own"),
        ({"required_claims": {"tier": []}}, "has no value that would do"),
        ({"required_claims": {"tier": 1.5}}, "required_claims"),
        ({"max_token_seconds": 10}, "max_token_seconds"),
        ({"max_token_seconds": 10**6}, "max_token_seconds"),
        ({"role": "admin"}, "unknown field"),
        ({"terms": {"model": ["demo"]}}, "unknown field"),
        ({"terms": {"models": ["other"]}}, "terms.models names model 'other', which is not configured"),
        ({"terms": {"upstreams": ["other"]}}, "terms.upstreams names upstream 'other'"),
        ({"terms": {"endpoints": ["chat"]}}, "terms.endpoints names endpoint 'chat'"),
        ({"terms": {"rules": ["cards"]}}, "terms.rules names rule 'cards'"),
        ({"terms": {"limits": [{"model": "other", "parallel": 1}]}}, "terms.limits names model 'other'"),
        ({"terms": {"networks": ["10.0.0.0/99"]}}, "which is no network"),
        ({"terms": {"limits": [{"parallel": 1}, {"parallel": 2}]}}, "all models more than once"),
        ({"terms": {"budgets": [{"limit_micro": 1}, {"limit_micro": 2}]}}, "window month more than once"),
    ],
    ids=str,
)
def test_what_is_refused(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**changed)
    assert cause in str(refused.value)


@pytest.mark.parametrize(
    "jwks", ["file:issuers/corp.json", "http://127.0.0.1:8080/keys", "http://localhost/keys", "https://login.example.test/keys?v=2"]
)
def test_where_keys_may_come_from(jwks: str) -> None:
    assert read(jwks=jwks).jwks == jwks


def test_two_issuers_can_not_be_told_apart_by_one_audience() -> None:
    with pytest.raises(ConfigError, match=r"issuers\.b has the issuer and the audience of issuers\.a"):
        parse(toml({"issuers": {"a": USUAL, "b": USUAL}}).encode())
    assert len(parse(toml({"issuers": {"a": USUAL, "b": {**USUAL, "audience": "other"}}}).encode()).issuers) == 2


def test_names_of_issuers_are_names() -> None:
    with pytest.raises(ConfigError, match="issuer name"):
        parse(toml({"issuers": {"a b": USUAL}}).encode())
