"""A gateway's ledger that works until it is killed: says what it was promised, one line each, on standard output."""

import asyncio
import os
import sys

from ollm.store.sqlite import open_store
from tests.store.making import ROW_KEY, entry, intent


async def main(url: str, durability: str) -> None:
    async with open_store(url, row_key=ROW_KEY, durability=durability) as store:  # type: ignore[arg-type]

        async def caller() -> None:
            while True:
                begun = intent()
                await store.ledger.intend(begun)
                os.write(1, f"I {begun.request_id}\n".encode())
                await asyncio.sleep(0.001)
                await store.ledger.complete(entry(begun.request_id))
                os.write(1, f"C {begun.request_id}\n".encode())

        async def unanswered() -> None:
            """Whose provider takes longer than this process lives: whenever that ends, one request is under way."""
            begun = intent()
            await store.ledger.intend(begun)
            os.write(1, f"I {begun.request_id}\n".encode())
            await asyncio.Event().wait()

        os.write(1, b"ready\n")
        await asyncio.gather(unanswered(), *(caller() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
