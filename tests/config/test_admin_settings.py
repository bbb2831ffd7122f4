"""What of the configuration is for administrators: declared projects are terms and accounts, and nothing else."""

import re

import pytest

from ollm.config.admin_settings import LABEL, OrganisationSettings, ProjectSettings
from ollm.config.load import parse
from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.terms import NO_TERMS, Limit, Terms

DECLARED = b"""
[admin]
listen = "127.0.0.1:9000"

[organisation]
name = "Acme"
require = "tee"

[projects."Pay roll"]
accounts = ["nightly"]
limits = [{ requests_per_minute = 3 }]
"""


def test_declarations() -> None:
    settings = parse(DECLARED)
    assert settings.admin.listen == "127.0.0.1:9000"
    assert settings.organisation is not None
    assert settings.organisation.terms() == Terms(require=Level.TEE)
    assert settings.projects["Pay roll"].accounts == ("nightly",)
    assert settings.projects["Pay roll"].terms() == Terms(limits=(Limit(requests_per_minute=3),))


def test_nothing_is_declared_unless_said() -> None:
    settings = parse(b"")
    assert (settings.organisation, settings.projects, settings.admin.listen) == (None, {}, "127.0.0.1:8401")


def test_terms_alone() -> None:
    assert ProjectSettings(accounts=("a",)).terms() == NO_TERMS
    assert type(OrganisationSettings(name="a").terms()) is Terms


@pytest.mark.parametrize("name", ["a", "Pay roll", "ada@example.com", "+1", "a" * 64])
def test_labels(name: str) -> None:
    assert re.match(LABEL, name)


@pytest.mark.parametrize("name", ["", " a", "a\n", "naïve", "a" * 65, "a\tb", 'a"'])
def test_what_is_no_label(name: str) -> None:
    assert not re.match(LABEL, name)


@pytest.mark.parametrize(
    "text",
    [
        b'[admin]\nlisten = "here"',
        b'[admin]\ncolour = "red"',
        b'[admin]\ntls_key = "key.pem"',
        b'[projects."naive\\n"]',
        b'[projects.a]\naccounts = ["x", "x"]',
        b"[projects.a]\nsurprise = 1",
        b'[projects.a]\nkeys = ["secret"]',
        b"[projects.a]\nlimits = [{}]",
        b'[organisation]\nmodels = ["none"]',
    ],
)
def test_declarations_that_can_not_be_followed(text: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(text)
