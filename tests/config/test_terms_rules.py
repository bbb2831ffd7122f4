"""Terms refer to what is configured; a name that isn't there is refused, and named."""

import msgspec
import pytest

from ollm.config.load import parse
from ollm.config.terms_rules import check_terms
from ollm.errors import ConfigError
from ollm.values.terms import Terms

SETTINGS = parse(b'[upstreams.acme]\nadapter = "openai"\n[models.small]\nupstreams = ["acme"]\naliases = ["little"]\n')


def check(**terms: object) -> None:
    check_terms("projects.a", msgspec.convert(terms, Terms), SETTINGS)


def test_what_is_configured() -> None:
    check(models=["small"], upstreams=["acme"], endpoints=["chat.completions", "embeddings"], networks=["10.0.0.0/8", "2001:db8::/32", "10.1.2.3"])
    check(limits=[{"parallel": 1}, {"model": "small", "tokens_per_day": 0}], budgets=[{"limit_micro": 1}, {"limit_micro": 1, "window": "day"}])
    check(models=[], upstreams=[], networks=[])
    check()


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"models": ["small", "smal"]}, r"projects\.a\.models names model 'smal', which is not configured \(configured: small\)"),
        ({"models": ["little"]}, "'little'"),
        ({"upstreams": ["acne"]}, r"projects\.a\.upstreams names upstream 'acne'"),
        ({"endpoints": ["chat"]}, r"projects\.a\.endpoints names endpoint 'chat'"),
        ({"rules": ["cards"]}, r"projects\.a\.rules names rule 'cards', which is not configured \(configured: none\)"),
        ({"limits": [{"model": "large", "parallel": 1}]}, r"projects\.a\.limits names model 'large'"),
        ({"limits": [{"model": "small"}]}, "limits nothing"),
        ({"limits": [{"parallel": 1}, {"parallel": 2}]}, "all models more than once"),
        ({"limits": [{"model": "small", "parallel": 1}, {"model": "small", "parallel": 2}]}, "model small more than once"),
        ({"budgets": [{"limit_micro": 1}, {"limit_micro": 2}]}, "window month more than once"),
        ({"networks": ["10.0.0.0/33"]}, "no network"),
        ({"networks": ["10.0.0.1/8"]}, "no network"),
        ({"networks": ["1.2.3"]}, "no network"),
    ],
)
def test_what_is_not(terms: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check(**terms)
