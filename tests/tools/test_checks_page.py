"""The page of checks is made from the tables, each check once."""

import re

from ollm.attest.tables import ALL_CHECKS
from tools import checks_page


def test_every_check_stands_on_the_page_once() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|", checks_page.page(), re.MULTILINE)

    assert len(rows) == len(set(rows))
    assert set(rows) == set(checks_page.proofs())
    assert set(ALL_CHECKS) <= set(rows)


def test_a_check_has_what_it_proves_and_who_demands_it() -> None:
    page = checks_page.page()

    assert "| `quote.debug` | the host can't read the TD by debugging it | Intel TDX Module ABI, TD_ATTRIBUTES bit 0 |" in page
    assert "## Of a receipt" in page
    assert re.search(r"^\| `receipt.signature` \| [^|]+ \|$", page, re.MULTILINE)
