"""What a large ledger costs: requests beside an empty one, reports, retention.

    python -m bench.ledger [--rows 10000000] [--store sqlite|postgresql|both] [--requests 2000] [--directory DIR]

Makes a database with a month of requests (200 keys of 20 projects, 10 models), rolled up as a running gateway would have done, and an empty
one beside it. Then prints, for each kind of database: intent and completion of a request at the large one ÷ at the empty one, taken in
turns; a usage report of the month with groups; what was spent in a window (what budgets are filled with at a start); and letting go of the
oldest days. Ends 1 where the ratio is above 1.5 or a report takes a second.

SQLite takes some 2 GB at 10,000,000 rows, PostgreSQL (a server of its own: make servers) some 4, and its log as much again.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, text

from ollm.store.database import is_postgresql, writing
from ollm.store.partitions import DAY_MS, make_ahead
from ollm.store.place import Place, place_of
from ollm.store.reports import Label, Question, Reports, Scope
from ollm.store.retention import Kept, let_go
from ollm.store.rollups import Roller
from ollm.store.schema import names
from ollm.store.sqlite import Store, open_store
from ollm.values.ledger import Entry, Intent, Status
from ollm.values.secret import Sealed
from ollm.values.usage import COUNTS, Usage
from tests.servers.postgres import MISSING, Postgres, programs

DAYS = 30
KEYS, PROJECTS, MODELS = 200, 20, 10
CHUNK = 500_000
ROW_KEY = bytes(32)
SESSION = "ab" * 32
MOST_RATIO, MOST_SECONDS = 1.5, 1.0

# Rows are made by the database itself: n is the entry's number, and requests are spread evenly over the month.
_IDS = {
    "sqlite": "printf('%012x', {ms}) || lower(hex(randomblob(10)))",
    "postgresql": "lpad(to_hex(({ms})::bigint), 12, '0') || substr(md5(n::text), 1, 20)",
}
_SERIES = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})",
    "postgresql": "WITH s AS (SELECT generate_series({first}::bigint, {last}::bigint) AS n)",
}


def fill(engine: Engine, rows: int, month_ms: int, said: str) -> None:
    """A month of requests, in bulk, then rolled up."""
    kind = "postgresql" if is_postgresql(engine) else "sqlite"
    with writing(engine).begin() as connection:
        _names(connection)
    if kind == "postgresql":
        make_ahead(engine, now_ms=month_ms + DAYS * DAY_MS // 2, ahead=DAYS)
        make_ahead(engine, now_ms=month_ms, ahead=DAYS // 2)
    began = time.monotonic()
    for first in range(1, rows + 1, CHUNK):
        last = min(rows, first + CHUNK - 1)
        with writing(engine).begin() as connection:
            if kind == "sqlite":
                connection.execute(text("PRAGMA ignore_check_constraints=ON"))  # these rows are known to be fit
            connection.execute(text(_bulk(kind, rows, month_ms).format(first=first, last=last)))
        print(f"{said}: {last:,} of {rows:,} rows, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if kind == "postgresql":
        with writing(engine).begin() as connection:
            connection.execute(text(f"SELECT setval('ledger_entry', {rows})"))
    began = time.monotonic()
    roller, rolled = Roller(engine, batch=100_000), 0
    while added := roller.run(batches=5):
        rolled += added
        print(f"{said}: {rolled:,} rolled up, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if kind == "postgresql":  # as autovacuum does it by itself, in time
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def _names(connection: Connection) -> None:
    given = [("key", f"key{number:04}") for number in range(KEYS)] + [("project", f"proj_{number}") for number in range(PROJECTS)]
    given += [("model", f"model-{number}") for number in range(MODELS)] + [
        ("endpoint", "chat.completions"),
        ("upstream", "enclave"),
        ("price", "config"),
    ]
    connection.execute(insert(names), [{"number": number, "kind": kind, "name": name} for number, (kind, name) in enumerate(given, 1)])
    if is_postgresql(connection):
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('names', 'number'), {len(given)})"))


def _bulk(kind: str, rows: int, month_ms: int) -> str:
    ms = f"({month_ms} + n * {DAYS * DAY_MS} / {rows + 1})"
    key = f"(1 + (n * 7919) % {KEYS})"
    values = {
        "entry": "n",
        "request_id": _IDS[kind].format(ms=ms),
        "key": key,
        "project": f"({KEYS} + 1 + {key} % {PROJECTS})",
        "model": f"({KEYS + PROJECTS} + 1 + (n / {KEYS}) % {MODELS})",
        "endpoint": str(KEYS + PROJECTS + MODELS + 1),
        "upstream": str(KEYS + PROJECTS + MODELS + 2),
        "price": str(KEYS + PROJECTS + MODELS + 3),
        "level": "'tee'",
        "status": "'completed'",
        "http_status": "200",
        "streamed": "1",
        "started_ms": ms,
        **dict.fromkeys(COUNTS, "0"),
        "input_tokens": "100",
        "output_tokens": "200",
        "estimated": "0",
        "count_mismatch": "0",
        "cost_micro": "1234",
        "verify_us": "0",
        "headers_us": "20000",
        "first_us": "30000",
        "total_us": "40000",
    }
    return f"INSERT INTO ledger ({', '.join(values)}) {_SERIES[kind]} SELECT {', '.join(values.values())} FROM s"


async def requests(store: Store, count: int) -> float:
    """Microseconds of one request's intent and completion, 32 at a time."""
    usage, receipt = Usage(input_tokens=100, output_tokens=200), os.urandom(1800)
    left = count

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            now = int(time.time() * 1000)
            request_id = f"{now:012x}{os.urandom(10).hex()}"
            await store.ledger.intend(Intent(request_id, "key0001", "model-1", "enclave", "tee", SESSION, now))
            entry = Entry(
                request_id, "key0001", "chat.completions", "model-1", "enclave", "tee", SESSION, Status.COMPLETED, 200, True, now,
                usage, 1234, "config", 0, 20_000, 30_000, 40_000, receipt,
            )  # fmt: skip
            await store.ledger.complete(entry)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(32)))
    return (time.perf_counter() - began) / count * 1e6


async def compared(large: Store, empty: Store, count: int, rounds: int = 9) -> tuple[float, float]:
    """Medians at the large ledger and at the empty one, taken in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for store, times in zip((large, empty), taken, strict=True):
            took = await requests(store, count)
            if number:  # the first round warms both
                times.append(took)
    return sorted(taken[0])[rounds // 2], sorted(taken[1])[rounds // 2]


async def seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def measure(kind: str, large_at: Place, empty_at: Place, folder: Path, options: argparse.Namespace) -> bool:
    """Prints one table; whether all goals are met."""
    for name in ("large", "empty"):
        (folder / name).mkdir(exist_ok=True)
    month_ms = (int(time.time() * 1000) // DAY_MS - DAYS) * DAY_MS
    async with open_store(large_at, row_key=ROW_KEY, role="admin") as filled:
        await asyncio.to_thread(fill, filled.engine, options.rows, month_ms, kind)
    opened = [open_store(place, row_key=ROW_KEY, folder=folder / name) for place, name in ((large_at, "large"), (empty_at, "empty"))]
    async with opened[0] as large, opened[1] as empty:
        at_large, at_empty = await compared(large, empty, options.requests)
        reports, start = Reports(large.engine), month_ms // 1000
        rows: list[tuple[str, str, str]] = [
            ("request at the large ledger", f"{at_large:.0f} µs", ""),
            ("request at an empty one", f"{at_empty:.0f} µs", ""),
            ("ratio", f"{at_large / at_empty:.2f}", f"≤ {MOST_RATIO}"),
        ]
        slowest = 0.0
        groups: tuple[tuple[Label, ...], ...] = ((), ("model",), ("key",), ("project", "model"))
        for group_by in groups:
            took = await seconds(reports.usage(Question(start=start, end=start + DAYS * 86_400, group_by=group_by)))
            slowest = max(slowest, took)
            named = "".join(f", {name}" for name in group_by)
            rows.append((f"report of the month by day{named}", f"{took * 1e3:.0f} ms", f"< {MOST_SECONDS * 1e3:.0f} ms"))
        hours = Question(start=start, end=start + DAYS * 86_400, bucket="1h", buckets=720, group_by=("model",))
        rows.append(("report of the month by hour, model", f"{await seconds(reports.usage(hours)) * 1e3:.0f} ms", ""))
        spent = await seconds(reports.spent(Scope(keys=("key0001",)), month_ms, month_ms + DAYS * DAY_MS))
        rows.append(("what a key spent in the month", f"{spent * 1e3:.1f} ms", ""))
        kept = Kept(ledger=DAYS - 2)
        gone = await seconds(asyncio.to_thread(let_go, large.engine, kept, int(time.time() * 1000)))
        rows.append(("letting go of the oldest two days", f"{gone * 1e3:.0f} ms", ""))
    print(f"\n{kind}, {options.rows:,} rows")
    for what, figure, goal in rows:
        print(f"  {what:<45} {figure:>10}  {goal}")
    return at_large / at_empty <= MOST_RATIO and slowest < MOST_SECONDS


def main(options: argparse.Namespace) -> int:
    kinds = ("sqlite", "postgresql") if options.store == "both" else (options.store,)
    met = True
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="ollm-ledger-") as name:
        folder = Path(name)
        if "sqlite" in kinds:
            met = asyncio.run(measure("sqlite", folder / "large.db", folder / "empty.db", folder, options))
            print(f"size of the large database: {(folder / 'large.db').stat().st_size / 1e9:.1f} GB")
        if "postgresql" in kinds:
            found = programs()
            if found is None:
                print(MISSING, file=sys.stderr)
                return 2
            met = _on_postgresql(Postgres(found, on_disk=True), folder, options) and met
    return 0 if met else 1


def _on_postgresql(server: Postgres, folder: Path, options: argparse.Namespace) -> bool:
    try:
        server.start("max_wal_size=4GB", "shared_buffers=512MB")
        password = Sealed(server.password.encode())
        large, empty = server.database(), server.database()
        large_at, empty_at = (place_of(server.url(name), password=password) for name in (large, empty))
        met = asyncio.run(measure("postgresql", large_at, empty_at, folder, options))
        ((size,),) = server.ask(f"SELECT pg_database_size('{large}')")
        print(f"size of the large database: {size / 1e9:.1f} GB")
        return met
    finally:
        server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--requests", type=int, default=2000, help="of each round at each ledger")
    parser.add_argument("--directory", default=None, help="where the SQLite databases are made; the disk matters")
    sys.exit(main(parser.parse_args()))
