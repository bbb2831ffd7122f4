"""The provider's page and the table of checks name the same ones."""

import re
from pathlib import Path

from ollm.attest.services.chutes.checks import CHECKS

PAGE = Path(__file__).parents[4] / "docs/providers/chutes.md"


def test_the_page_has_every_check_and_says_the_same_of_it() -> None:
    rows = dict(re.findall(r"^\| `(chutes\.[a-z_]+)` \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == {name: proof.proves for name, proof in CHECKS.items()}
