"""The provider's page has every check and says the same of it; its default policy can be read, and explained."""

import datetime
import re
from pathlib import Path

from ollm.attest.services.dstack_signer import checks
from ollm.config.explain.document import explain
from ollm.config.explain.points import Severity
from ollm.config.load import parse

PAGE = (Path(__file__).parents[4] / "docs/providers/near.md").read_text(encoding="utf-8")


def test_the_page_has_every_check_and_says_the_same_of_it() -> None:
    rows = dict(re.findall(r"^\| `((?:signer|gateway|manager)\.[a-z_]+)` \| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert rows == {name: proof.proves for name, proof in checks.CHECKS.items()}
    assert list(rows) == list(checks.CHECKS)


def test_the_default_policy_can_be_used() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    settings = parse("\n".join(blocks).encode())
    policy = settings.policies["near"]
    assert settings.upstreams["near"].adapter == "near"
    assert policy.service.gateway_tdx is not None
    told = explain(policy, datetime.date(2026, 11, 23))
    assert not told.of(Severity.NOTHING)
    assert not told.of(Severity.EXPOSES)
