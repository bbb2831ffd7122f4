"""The page of the admin API has every route of the table once, with the roles that it serves."""

import re

from ollm.admin.errors import ERRORS
from ollm.admin.routes import ROUTES
from tools import admin_page


def test_every_route_has_a_row() -> None:
    rows = re.findall(r"^\| `((?:GET|POST|DELETE) [^`]+)` \| ([a-z, ]+) \| (.+) \|$", admin_page.page(), re.MULTILINE)
    assert {row for row, _, _ in rows} == {f"{way.method} {way.path.replace(':path', '')}" for way in ROUTES}
    assert len(rows) == len(ROUTES)
    assert {row: roles for row, roles, _ in rows}["GET /v1/organization/costs"] == "owner, admin, viewer, auditor"


def test_every_error_has_a_row() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \| [0-9]{3} \|", admin_page.page(), re.MULTILINE)) == set(ERRORS)
