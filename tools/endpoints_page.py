"""Writes docs/reference/endpoints.md from the OpenAPI document: `make docs`. `make check` fails where the page is another."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ollm.gateway.openapi.document import document
from ollm.wire.refused import REFUSED_ENDPOINTS

PAGE = Path(__file__).parent.parent / "docs/reference/endpoints.md"

INTRODUCTION = """\
# Endpoints

Every endpoint of the gateway, what its body may be, what it answers with, and the statuses that errors have there. [The HTTP API](http-api.md)
tells of each in words; [errors](errors.md) has the codes. A running gateway serves the same as OpenAPI 3.1 at `GET /openapi.json`, without
a key. This page is made from that document (`make docs`).
"""

_REFUSED = """\
## Refused on purpose

Endpoints of OpenAI's and Anthropic's APIs that the gateway knows and does not serve. To whoever has a key they answer 404
[`endpoint_refused`](errors.md#endpoint_refused), with these words; all other paths are 404 [`unknown_url`](errors.md#unknown_url).
"""


def _endpoints(found: dict[str, Any]) -> Iterator[str]:
    yield "| endpoint | key | body | answers with | statuses of errors |"
    yield "|---|---|---|---|---|"
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            body = ", ".join(f"`{kind}`" for kind in operation.get("requestBody", {}).get("content", {})) or "none"
            answers = ", ".join(f"`{kind}`" for kind in operation["responses"]["200"]["content"])
            statuses = " ".join(status for status in operation["responses"] if status != "200")
            yield f"| `{method.upper()} {path}` | {'no' if operation.get('security') == [] else 'yes'} | {body} | {answers} | {statuses} |"


def _refused() -> Iterator[str]:
    yield "| path | why, and what instead |"
    yield "|---|---|"
    for entry in REFUSED_ENDPOINTS:
        shown = [f"`{entry.path}`"] * entry.at + [f"`{entry.path}/…`"] * entry.below
        methods = f"`{' '.join(sorted(entry.methods))}` " if entry.methods else ""
        yield f"| {methods}{', '.join(shown)} | {entry.message.partition(': ')[2]} |"


def page() -> str:
    """The text of the page."""
    return "\n".join((INTRODUCTION, *_endpoints(document()), "", _REFUSED, *_refused())) + "\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
