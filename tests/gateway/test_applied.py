"""Tables put together, and what a machine has to have proved."""

import datetime
from typing import Any, cast

import pytest

from ollm.config.settings import Settings, UpstreamSettings
from ollm.gateway.applied import NOTHING, Applied, applied, route_broken, session_broken
from ollm.upstream.session import VerifiedSession
from ollm.values.checks import Appraisal, Check, Claim, Claims, Outcome
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.rules import Names, Parameters, PromptRule, RuleException, Rules, Sizes

NOW = 1_800_000_000
CARDS = PromptRule(name="cards", detect="payment_card")


def exception(**members: Any) -> RuleException:
    return RuleException(name="e", key="k", reason="r", until=datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), **members)


def session(*, signature: str = "quote.signature", tee: str = "asserted", gpu: str = "unknown", at: int = NOW) -> VerifiedSession:
    """One as `establish` makes it, without a machine behind it."""
    made = VerifiedSession.__new__(VerifiedSession)
    claims = Claims(tee_attested=Claim(cast("Any", tee)), gpu_attested=Claim(cast("Any", gpu)))
    made.appraisal = Appraisal("p", Level.TEE, (Check(signature, Outcome.PASSED),), claims)
    made.established_at = at
    return made


def test_nothing() -> None:
    assert not NOTHING.any
    assert NOTHING.digest is None


def test_the_strictest_of_each_kind_counts() -> None:
    rules = applied({"a": Rules(require=Level.ZDR, max_evidence_age=600), "b": Rules(require=Level.TEE, max_evidence_age=60, prompt=(CARDS,))})
    assert (rules.floor, rules.max_age, rules.names, rules.on_routes) == (Level.TEE, 60, "a,b", True)
    assert rules.request is not None
    assert rules.answer is None


def test_what_exceptions_lift() -> None:
    tables = {"a": Rules(require=Level.TEE, prompt=(CARDS,)), "b": Rules(gpu="required")}
    assert applied(tables, (exception(rule="a/cards"),)).request is None
    assert applied(tables, (exception(rule="a"),)).names == "b"
    lifted = applied(tables, (exception(level=Level.ZDR),))
    assert (lifted.lifted, lifted.floor, lifted.names) == (Level.ZDR, Level.TEE, "a,b")
    assert applied(tables).digest != applied(tables, (exception(rule="a/cards"),)).digest


@pytest.mark.parametrize(
    ("rules", "asks"),
    [
        (Rules(prompt=(CARDS,), require=Level.TEE, upstreams=Names(deny=("u",))), False),
        (Rules(models=Names(deny=("m",))), True),
        (Rules(endpoints=Names(allow=())), True),
        (Rules(tools=Names(deny=("t",))), True),
        (Rules(parameters=Parameters(deny=("n",))), True),
        (Rules(sizes=Sizes(images=0)), True),
    ],
)
def test_which_tables_are_about_requests(rules: Rules, asks: bool) -> None:
    assert applied({"a": Rules(), "b": rules}).on_requests is asks


def test_names_of_each_kind() -> None:
    rules = applied({"a": Rules(models=Names(allow=("x", "y"), deny=("y",)))})
    assert rules.names_broken("models", "x") is None
    broken = rules.names_broken("models", "y")
    assert str(broken) == "rules.a.models: got one that is not allowed, want x"


def settings() -> Settings:
    upstreams = {"tdx": UpstreamSettings(policy="p", region="eu"), "open": UpstreamSettings()}
    return Settings(upstreams=upstreams, policies={"p": AttestationPolicy(name="p", level=Level.TEE)})


@pytest.mark.parametrize(
    ("rules", "upstream", "says"),
    [
        (Rules(upstreams=Names(deny=("tdx",))), "tdx", "rules.a.upstreams: got tdx, want none of those that are denied"),
        (Rules(regions=("us",)), "open", "rules.a.regions: got no region, want us"),
        (Rules(technologies=("nitro",)), "tdx", "rules.a.technologies: got tdx, want nitro"),
        (Rules(technologies=("tdx",)), "open", "rules.a.technologies: got no evidence, want tdx"),
        (Rules(gpu="required"), "open", "rules.a.gpu: got no evidence, want verified GPUs"),
        (Rules(max_evidence_age=60), "open", "rules.a.max_evidence_age: got no evidence, want evidence of at most 60 seconds"),
        (Rules(technologies=("tdx", "nitro"), regions=("eu",), max_evidence_age=60), "tdx", "None"),
    ],
)
def test_routes_by_their_configuration(rules: Rules, upstream: str, says: str) -> None:
    assert str(route_broken(applied({"a": rules}), settings(), upstream)) == says


@pytest.mark.parametrize(
    ("rules", "proved", "says"),
    [
        (Rules(technologies=("tdx",)), session(), "None"),
        (Rules(technologies=("tdx",)), session(signature="snp.signature"), "rules.a.technologies: got sev-snp, want tdx"),
        (Rules(technologies=("tdx",)), session(tee="refuted"), "rules.a.technologies: got none that hardware attests, want tdx"),
        (Rules(gpu="required"), session(gpu="asserted"), "None"),
        (Rules(gpu="required"), session(), "rules.a.gpu: got unknown, want asserted by verified evidence"),
        (Rules(max_evidence_age=60), session(at=NOW - 60), "None"),
        (Rules(max_evidence_age=60), session(at=NOW - 61), "rules.a.max_evidence_age: got older evidence, want at most 60 seconds"),
        (Rules(models=Names(deny=("x",))), session(tee="refuted"), "None"),
    ],
)
def test_routes_by_what_they_proved(rules: Rules, proved: VerifiedSession, says: str) -> None:
    assert str(session_broken(applied({"a": rules}), proved, NOW)) == says


def test_a_route_without_evidence_proves_nothing() -> None:
    rules: Applied = applied({"a": Rules(gpu="required")})
    assert str(session_broken(rules, cast("Any", object()), NOW)) == "rules.a: got no evidence, want a verified machine"
