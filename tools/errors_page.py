"""Writes docs/reference/errors.md from the table of error codes: `make docs`. `make check` fails where the page is another."""

import sys
from pathlib import Path

from ollm.wire.error_code import ErrorCode, Group
from ollm.wire.error_codes import ERROR_CODES
from ollm.wire.errors import error_body

PAGE = Path(__file__).parent.parent / "docs/reference/errors.md"

_REFUSED = "The machine behind 'acme' could not be verified (quote.debug: …). The prompt was not forwarded."
_VERIFICATION = "upstream_verification_failed"

INTRODUCTION = f"""\
# Errors

Every error, those below the application included, is an OpenAI error object:

```json
{error_body(_VERIFICATION, _VERIFICATION, _REFUSED).decode()}
```

On Anthropic's endpoints it is Anthropic's, with `param` and `code` added to it; likewise where a request with the header `anthropic-version` asks
for something else than inference:

```json
{error_body("", "invalid_api_key", "The API key is missing or not valid. …", dialect="anthropic", status=401).decode()}
```

Messages are our own words. A provider's text is never passed on, because it can repeat the prompt. Where repeating a request can't help,
`x-should-retry: false` tells OpenAI's SDKs so. `code` is stable; `message` is for people.

Refusals and failures that say *receipt* have one (`x-receipt-id`). This page is made from the source (`make docs`).
"""

_GROUPS: dict[Group, tuple[str, str]] = {
    "request": ("The request", ""),
    "connection": ("The connection", "Answered before the application sees a request; the connection is closed behind them."),
    "trust": ("Trust and policy", ""),
    "provider": ("The provider", ""),
    "gateway": ("The gateway", ""),
}


def _row(name: str, code: ErrorCode) -> str:
    return f"| [`{name}`](#{name}) | {code.status} | {code.means}{'. Receipt' if code.receipt else ''} |"


def _section(name: str, code: ErrorCode) -> str:
    return f"### `{name}`\n\nStatus {code.status}. {code.cause}\n\n*Mend:* {code.mend}\n"


def page() -> str:
    """The text of the page: a table of each group, then a section for each code."""
    parts = [INTRODUCTION]
    for group, (title, text) in _GROUPS.items():
        codes = {name: code for name, code in ERROR_CODES.items() if code.group == group}
        rows = ["| code | status | meaning |", "|---|---|---|", *(_row(name, code) for name, code in codes.items())]
        parts.append(f"## {title}\n\n" + (f"{text}\n\n" if text else "") + "\n".join(rows) + "\n")
        parts += [_section(name, code) for name, code in codes.items()]
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
