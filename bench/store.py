"""How many intend + complete pairs the store takes per second, and what they cost.

    python -m bench.store [--seconds 3] [--awaiters 32] [--durability full|process] [--receipt 1800] [--work-us 0]
                          [--upstream-ms 0] [--random-ids]

Prints pairs per second, CPU per pair (all threads, kernel time included; `loop` is the event loop's thread alone) and how long
`complete` took. `--work-us` burns that much CPU between the two calls and `--upstream-ms` waits, as a gateway would: without them all
callers march in step, which makes for perfect batches.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time

import uvloop

from ollm.store.keys import NewKey, authenticate
from ollm.store.sqlite import Store, open_store
from ollm.values.ledger import Entry, Intent, Status
from ollm.values.usage import Usage

SESSION = "ab" * 32
KEY = "abcdefgh234567ab"


async def measure(store: Store, options: argparse.Namespace) -> None:
    ledger, usage, receipt = store.ledger, Usage(input_tokens=100, output_tokens=200), os.urandom(options.receipt)
    waits: list[float] = []
    over = False

    async def caller() -> None:
        while not over:
            request_id = os.urandom(16).hex() if options.random_ids else f"{len(waits):016x}{os.urandom(8).hex()}"
            await ledger.intend(Intent(request_id, KEY, "small", "enclave", "tee", SESSION, 1_700_000_000_000))
            if options.work_us:
                end = time.perf_counter() + options.work_us / 1e6
                while time.perf_counter() < end:
                    pass
            if options.upstream_ms:
                await asyncio.sleep(random.uniform(0, 2 * options.upstream_ms / 1e3))
            entry = Entry(
                request_id, KEY, "chat.completions", "small", "enclave", "tee", SESSION, Status.COMPLETED, 200, False, 1_700_000_000_000,
                usage, 12_345, "config", 10, 20_000, 30_000, 40_000, receipt,
            )  # fmt: skip
            began = time.perf_counter()
            await ledger.complete(entry)
            waits.append(time.perf_counter() - began)

    callers = [asyncio.get_running_loop().create_task(caller()) for _ in range(options.awaiters)]
    await asyncio.sleep(0.3)
    before, wall, cpu, loop_cpu = len(waits), time.perf_counter(), time.process_time(), time.thread_time()
    await asyncio.sleep(options.seconds)
    pairs, wall, cpu, loop_cpu = len(waits) - before, time.perf_counter() - wall, time.process_time() - cpu, time.thread_time() - loop_cpu
    over = True
    await asyncio.gather(*callers)
    waits.sort()
    print(
        f"{options.durability}, {options.awaiters} awaiters: {pairs / wall:,.0f} pairs/s; CPU per pair {cpu / pairs * 1e6:.1f} µs "
        f"(loop {loop_cpu / pairs * 1e6:.1f}); complete p50 {waits[len(waits) // 2] * 1e3:.2f} ms, p99 {waits[len(waits) * 99 // 100] * 1e3:.2f} ms"
    )


async def measure_keys(store: Store) -> None:
    pepper = bytes(32)
    text, _ = await store.keys.create(NewKey(name="bench", created_at=0), pepper=pepper)
    began = time.process_time()
    for _ in range(20_000):
        authenticate(text, store.keys, pepper, 1)
    print(f"authenticate: {(time.process_time() - began) / 20_000 * 1e6:.2f} µs")


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        async with open_store(f"sqlite:///{directory}/ollm.db", row_key=bytes(32), durability=options.durability) as store:
            await measure_keys(store)
            await measure(store, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--awaiters", type=int, default=32)
    parser.add_argument("--durability", choices=("full", "process"), default="full")
    parser.add_argument("--receipt", type=int, default=1800, help="bytes of a sealed receipt")
    parser.add_argument("--work-us", type=int, default=0)
    parser.add_argument("--upstream-ms", type=float, default=0.0, help="mean wait between the two calls, uniform from 0 to its double")
    parser.add_argument("--random-ids", action="store_true", help="request ids without order in time")
    parser.add_argument("--directory", default=None, help="where the database is made; the disk matters")
    uvloop.run(main(parser.parse_args()))
