"""Writes docs/reference/dialects.md from the tables of the dialects: `make docs`. `make check` fails where the page is another."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ollm.wire.dialects import DIALECTS, SIDES
from ollm.wire.dialects.fields import Carried, Dropped, Rule

PAGE = Path(__file__).parent.parent / "docs/reference/dialects.md"

NAMES = {"chat.completions": "chat completions", "messages": "Messages", "responses": "Responses"}

INTRODUCTION = """\
# Dialects

A client may ask in one API for a model whose provider speaks another: chat completions, Anthropic's Messages, OpenAI's Responses. The gateway
then translates the request, the answer and every event of a stream. Where both speak the same, nothing is translated, and all of it passes
through byte for byte.

Nothing is lost silently. A member *becomes* another; or it is *left out*, because the request means the same without it; or the request is
*refused* with status 400, and `param` names the member. A member that no table here has is refused as well. null counts as absent.

The tables of requests are made from the source (`make docs`), and a test goes through every line of them.

## Answers

| | chat completions | Messages | Responses |
|---|---|---|---|
| text | `message.content` | block `text` | item `message`, part `output_text` |
| reasoning | heard as `reasoning` or `reasoning_content`, told as `reasoning_content` | block `thinking` | item `reasoning`, part `reasoning_text` |
| a refusal in words | `message.refusal` | block `text`, and `stop_reason: refusal` | part `refusal` |
| a tool call | `tool_calls[]` | block `tool_use` | item `function_call` |
| its end | `finish_reason: stop` | `end_turn`, `stop_sequence` | `completed` |
| its end: tools are to be called | `tool_calls` | `tool_use` | `completed` |
| its end: the limit was reached | `length` | `max_tokens`, heard also as `model_context_window_exceeded` | `incomplete`, `max_output_tokens` |
| its end: withheld | `content_filter` | `refusal` | `incomplete`, `content_filter` |
| prompt tokens | `prompt_tokens`: all | `input_tokens`, `cache_read_input_tokens`, `cache_creation_input_tokens`: disjoint | `input_tokens`: all |
| reasoning tokens | `reasoning_tokens` in its details | `thinking_tokens` in its details | `reasoning_tokens` in its details |
| when | `created` | none | `created_at` |

- `id` and `model` are the gateway's, as in every answer. Ids of items and calls that a provider leaves out are derived from it.
- Arguments of tools keep their text: numbers and escapes are not read in between. A whole message holds them as an object; if a model's are
  none, the answer fails, while a stream hands out what came.
- An answer that ends for any other reason, or has a part that the client's API can't say (tools that the provider runs), is an error.
- Left out: signatures and redacted thinking, which mean something to the model's own API alone, and citations, which can't be asked for.
- A Messages client gets thinking with an empty signature. It may send it back: thinking of earlier turns is left out.
- Messages demand `usage`: it is zero where the provider counted nothing. In a stream it comes with `message_delta`, at the end.
- Messages have no time: `created` and `created_at` are then 0.
- A response repeats its request (`instructions`, `tools`, `tool_choice`, `metadata` and others), and where that is silent it has the API's
  defaults, not what the provider took. `store` is false.

## Streams

Each event goes on as soon as it says something. Blocks come one after another, as clients of Messages and Responses expect them: if a provider
interleaves tool calls, the later ones wait until the arguments of the first are whole. Responses get the whole sequence, from
`response.created` to `response.completed` or `response.incomplete`, with an increasing `sequence_number`.

If the provider sends an error, the client gets its API's own error event in the gateway's words, never the provider's: an object with `error` for
chat completions, `event: error` for Messages, `error` and then `response.failed` for Responses. A stream without its end mark is an error too.
"""


def _row(member: str, rule: Rule, provider: str) -> tuple[str, str, str]:
    """Member, what becomes of it, and why."""
    said = ""
    if isinstance(rule, Carried):
        written = SIDES[provider].writes[rule.what]
        said = rule.note
        if isinstance(written, Carried):
            return member, f"`{written.what}`" if written.what else "nothing", "; ".join(filter(None, (said, written.note)))
        rule = written
    if isinstance(rule, Dropped):
        return member, "left out", "; ".join(filter(None, (said, rule.why)))
    allowed = " or ".join(f"`{_spelled(value)}`" for value in rule.neutral)
    return member, "refused", f"{rule.why}{f'. {allowed} may stand: it means the same as nothing' if allowed else ''}"


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def rows(asked: str, spoken: str) -> Iterator[tuple[str, str, str]]:
    """What becomes of each member of a request: what is carried over first."""
    made = [_row(member, rule, spoken) for member, rule in SIDES[asked].reads.items()]
    for fate in (lambda row: row not in {"left out", "refused"}, lambda row: row == "left out", lambda row: row == "refused"):
        yield from (row for row in made if fate(row[1]))


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    for asked, spoken in DIALECTS:
        lines = [f"| `{member}` | {becomes} | {why} |" for member, becomes, why in rows(asked, spoken)]
        head = f"## {NAMES[asked]} asked, {NAMES[spoken]} spoken"
        parts.append("\n".join((head[:3] + head[3].upper() + head[4:], "", "| member | becomes | |", "|---|---|---|", *lines)) + "\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
