"""A worker in a process of its own that takes what it can get: `python -m tests.store.counters.contender URL NAME WHAT REQUESTS`. Prints what it got.

It says "ready", waits for a line, and asks for each request until the store answers, whatever becomes of the store meanwhile.
"""

import asyncio
import itertools
import os
import sys
import time

from ollm.errors import CountersAway
from ollm.ports import Granted
from ollm.store.counters.fallback import FallbackCounters, Rules
from ollm.store.counters.valkey import Place, ValkeyCounters
from ollm.values.terms import Limit
from tests.store.counters.harness import NOW_MS, asked, made

LIMIT = Limit(requests_per_day=300, tokens_per_day=5_000)
TOKENS = {"requests": 1, "tokens": 20}  # so that one limit ends it, or the other: 300 requests, or 250 of 20 tokens


async def contend(url: str, name: str, what: str, requests: int) -> int:
    """How many of `requests` were granted."""
    shared = ValkeyCounters(Place(url=url, prefix=what, timeout=2.0), os.urandom, lease_seconds=1.0)
    counters = FallbackCounters(shared, Rules(), time.monotonic, lambda: NOW_MS)
    charges = made(limit=LIMIT, tokens=TOKENS[what])

    ids = itertools.count()

    async def one() -> bool:
        """Whether it was granted. What may have been taken by a call that the store didn't answer is given back in a moment: hence a few times."""
        tries = 0
        while tries < 5:
            try:
                answer = await counters.reserve(asked(f"{name}-{next(ids)}", charges, owner=name), NOW_MS)
            except CountersAway:
                tries = 0
            else:
                if isinstance(answer, Granted):
                    return True
                tries += 1
            await counters.renew(name)
            await asyncio.sleep(0.02 * tries + 0.02)
        return False

    granted = 0
    for _ in range(0, requests, 10):
        granted += sum(await asyncio.gather(*[one() for _ in range(10)]))
    await counters.close()
    return granted


def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(str(asyncio.run(contend(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))))


if __name__ == "__main__":
    main()
