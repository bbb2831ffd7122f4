"""Writes docs/reference/admin-api.md from the control plane's table of routes: `make docs`. `make check` fails where the page is another."""

import sys
from collections.abc import Callable
from pathlib import Path

from ollm.admin.app import HEALTH
from ollm.admin.call import MAX_BODY
from ollm.admin.errors import ERRORS
from ollm.admin.routes import ROUTES, Way
from ollm.values.identity import Role

PAGE = Path(__file__).parent.parent / "docs/reference/admin-api.md"

_ORG = "/v1/organization"

INTRODUCTION = f"""\
# Admin API

What `ollm admin` serves, on its own listener (`admin.listen`), for keys of administrators. The shapes are those of OpenAI's organization API, so its
clients work: `OpenAI(base_url="http://127.0.0.1:8401/v1", admin_api_key="sk-ollm-…").admin.organization`. Members that OpenAI doesn't have stand
beside its own; members and fields of the query string that aren't known here are refused, never ignored. [Administer](../howto/administer.md) shows
how it is used.

- Every request needs `Authorization: Bearer` with a key whose role the route serves; only `{HEALTH}` needs none. Keys of role `member` may do nothing
  here, and keys of other roles call no models.
- `owner` may do everything; `admin` everything but appoint, change and dismiss owners and admins, keys and people alike; `auditor` reads everything
  that is kept and changes nothing; `viewer` reads usage and costs.
- Bodies are one JSON object of at most {MAX_BODY // 1024} KiB. Errors are OpenAI's objects; every answer has `x-request-id`.
- Lists take `limit` (1 to 100, usually 20) and `after`, an id; they tell `first_id`, `last_id`, `has_more`. Usage and costs take `limit` buckets and
  `page`, and tell `next_page`.
- Each change is one transaction with its event in the [audit log](audit.md). A running gateway heeds it within a second.
- A key's text (`value`) is in the answer that makes it, and nowhere else.

This page is made from the source (`make docs`).
"""

_GROUPS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("The organisation", lambda rest: rest in ("", "/terms")),
    ("Projects and their terms", lambda rest: rest.startswith("/projects") and not any(word in rest for word in ("keys", "accounts", "users"))),
    ("Keys of projects, and service accounts", lambda rest: rest.startswith("/projects") and ("keys" in rest or "accounts" in rest)),
    ("Any key, by its id", lambda rest: rest.startswith("/api_keys")),
    ("Keys of administrators", lambda rest: rest.startswith("/admin_api_keys")),
    ("People", lambda rest: rest.startswith("/users") or ("/projects" in rest and "users" in rest)),
    ("Usage, costs, audit log", lambda rest: rest.startswith(("/usage", "/costs", "/audit"))),
    ("Exports", lambda rest: rest.startswith("/export")),
    ("What is configured", lambda rest: rest in ("/policies", "/routes", "/providers")),
)

DETAILS = """\
## Details

**Terms** are written as in the [configuration](config.md#projectsname): `{"models": ["small"], "limits": [{"requests_per_minute": 60}],
"budgets": [{"limit_micro": 25000000, "window": "month"}]}`. A name that isn't configured is refused, and named. Setting terms puts them in
the place of those before.

**Rate limits** are the `limits` of a project's terms by OpenAI's names. Their ids are `rl_` and the model, `rl_*` for all models together.
Limits of images, audio and batches are refused, since nothing here counts them.

**Usage** takes `start_time`, `end_time`, `bucket_width` (`1m`, `1h`, `1d`), `group_by` (`project_id`, `api_key_id`, `model`,
`service_tier`, and ours: `upstream`, `level`), and the filters `project_ids`, `api_key_ids`, `models`, `upstreams`, `levels`. Times between
the borders of buckets take the whole bucket. Requests that were refused before anything left are in no figure. `num_estimated_requests`
counts those whose provider gave no count. The page `rerank` is ours.

**Costs** are by the day, grouped by `project_id`, `api_key_id`, `line_item` (the model), `upstream`. `amount_micro` is exact;
`amount.value` is the same as a number, as OpenAI has it. `num_unpriced_requests` counts requests whose price isn't known: they are in no
amount, and no amount of 0 hides them.

**Rotating** makes a new key with the project, owner and terms of the old one, which stays valid for `grace_seconds` (a day, at most 90).
Enabling takes disabling back; revoking is final.

**Exports** are streamed. In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front. `usage` takes `start_time`,
`end_time` and `bucket_width` (`1h`, `1d`), `ledger` takes `start_time` and `end_time`. `audit.jsonl` is what `ollm verify audit` reads.
"""


def _row(way: Way) -> str:
    roles = ", ".join(str(role) for role in Role if role in way.roles)
    return f"| `{way.method} {way.path.replace(':path', '')}` | {roles} | {way.says} |"


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    left = list(ROUTES)
    for title, belongs in _GROUPS:
        ways = [way for way in left if belongs(way.path.removeprefix(_ORG))]
        left = [way for way in left if way not in ways]
        parts.append("\n".join([f"## {title}\n", "| route | roles | |", "|---|---|---|", *(_row(way) for way in ways)]) + "\n")
    if left:
        raise ValueError(f"no group has {left[0].path}")
    parts.append(DETAILS)
    rows = [f"| `{code}` | {error.status} | {error.means} |" for code, error in ERRORS.items()]
    parts.append("\n".join(["## Errors\n", "| code | status | meaning |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
