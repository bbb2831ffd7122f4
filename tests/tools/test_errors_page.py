"""The page of errors is made from the table: each code has its row and its section, and a link from one to the other."""

import re

from ollm.wire.error_codes import ERROR_CODES
from tools import check_docs, errors_page


def test_every_code_has_a_row_and_a_section_of_its_own() -> None:
    page = errors_page.page()
    assert re.findall(r"^\| \[`([a-z0-9_]+)`\]\(#\1\) \|", page, re.MULTILINE) == re.findall(r"^### `([a-z0-9_]+)`$", page, re.MULTILINE)
    assert set(re.findall(r"^### `([a-z0-9_]+)`$", page, re.MULTILINE)) == set(ERROR_CODES)


def test_a_section_can_be_linked_to_and_says_what_mends() -> None:
    page = errors_page.page()
    assert set(ERROR_CODES) <= check_docs.anchors(page)
    assert "### `bad_host`\n\nStatus 400. `Host` is missing, repeated, or no host and port.\n\n*Mend:* Send one `Host` header" in page


def test_what_has_a_receipt_says_so() -> None:
    page = errors_page.page()
    assert "`stream` or `total`. Receipt |" in page
    assert "cannot" not in page and page.count("Receipt |") == sum(code.receipt for code in ERROR_CODES.values())
