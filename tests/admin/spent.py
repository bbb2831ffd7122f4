"""Requests in a ledger, so that there is something to report."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ollm.app.installation import store_of
from ollm.config.load import Loaded
from ollm.values.ledger import Entry, Status
from ollm.values.usage import Usage
from tests.admin.conftest import Plane, planed

DAY = 86_400
START = 1_700_006_400  # a midnight, UTC
KEYS = ("a" * 16, "b" * 16)
_numbers = itertools.count(1)


def spent(at: int, *, usage: Usage, **changed: Any) -> Entry:
    values: dict[str, Any] = {
        "request_id": f"{at * 1000:012x}{next(_numbers):020x}",
        "key_id": KEYS[0],
        "project": "proj_one",
        "endpoint": "chat.completions",
        "model": "small",
        "upstream": "acme",
        "level": "zdr",
        "session_id": None,
        "status": Status.COMPLETED,
        "http_status": 200,
        "streamed": False,
        "started_ms": at * 1000,
        "cost_micro": 100,
        "price_version": "config",
        "verify_us": 0,
        "headers_us": 1,
        "first_us": 2,
        "total_us": 3,
        "receipt": None,
    }
    return Entry(**(values | changed), usage=usage)


CHAT = Usage(
    input_tokens=10, cached_tokens=4, cache_write_tokens=2, cache_write_long_tokens=1, audio_input_tokens=3, image_input_tokens=5,
    output_tokens=7, reasoning_tokens=6, audio_output_tokens=2,
)  # fmt: skip
ENTRIES = (
    spent(START + 10, usage=CHAT),
    spent(START + 3700, usage=CHAT, key_id=KEYS[1], project="proj_two", model="acme/large-1", cost_micro=None, price_version=None),
    spent(START + 3800, usage=Usage(estimated=True, input_tokens=1), endpoint="messages", cost_micro=1),
    spent(START + 3900, usage=Usage(), status=Status.REFUSED, http_status=403, upstream=None, level=None, cost_micro=None, price_version=None),
    spent(START + 2 * DAY, usage=Usage(input_tokens=9), endpoint="embeddings", cost_micro=2_500_000),
    spent(START + 2 * DAY + 5, usage=Usage(images=2, image_output_tokens=30), endpoint="images.generations", cost_micro=40),
    spent(START + 2 * DAY + 6, usage=Usage(characters=44), endpoint="audio.speech", cost_micro=5),
    spent(START + 2 * DAY + 7, usage=Usage(audio_ms=1500), endpoint="audio.translations", cost_micro=6),
    spent(START + 2 * DAY + 8, usage=Usage(input_tokens=3), endpoint="moderations", cost_micro=0),
    spent(START + 2 * DAY + 9, usage=Usage(input_tokens=8), endpoint="rerank", cost_micro=7),
)


async def spend(loaded: Loaded) -> None:
    async with store_of(loaded, role="gateway") as store:
        for entry in ENTRIES:
            await store.ledger.complete(entry)


@contextlib.asynccontextmanager
async def spent_plane(folder: Path) -> AsyncIterator[Plane]:
    """A control plane whose ledger holds ENTRIES."""
    async with planed(folder) as plane:
        await spend(plane.loaded)
        yield plane
