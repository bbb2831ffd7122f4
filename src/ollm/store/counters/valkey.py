"""Counters in Valkey or Redis, for several workers and hosts. What each call does there is in `scripts`.

The server is trusted to count, and with nothing else: it learns ids, names of the configuration and numbers. It must not evict keys
(`maxmemory-policy noeviction`, its default).
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ollm.errors import CountersAway, StoreError
from ollm.ports import Asked, Granted, Reading, Refused, Unloaded
from ollm.store.counters import scripts
from ollm.traffic.charges import Charges, named, together
from ollm.values.secret import Sealed

_ENDED_MS = 300_000  # that the id of a settled request is remembered: whoever repeats a call does so in seconds
_HOLD_MS = 86_400_000  # a reservation that nobody settles in a day is over; its amounts stay charged until their windows end
_ORPHANS = 100  # of each owner, a call
_CONNECTIONS = 32
_MAX_NOTE = 512


class BegunAnew(CountersAway):
    """The store isn't the one that was known: its memory was lost, or this is the first call. What is held has to be adopted."""


class TooYoung(CountersAway):
    """The store began anew a moment ago: it grants nothing until every worker has had the time to say what it holds."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is. `url` is redis://, rediss:// or unix://, without credentials."""

    url: str
    username: str | None = None
    password: Sealed | None = None
    ca: Path | None = None  # PEM of the CA to believe, for rediss://; absent: the machine's
    prefix: str = "ollm"
    timeout: float = 1.0  # seconds for a call, connecting included


def _number(text: bytes) -> int:
    """Raises: CountersAway where somebody wrote something else over a counter."""
    try:
        return int(text)
    except ValueError:
        raise CountersAway("the counter store holds something that is no number") from None


class ValkeyCounters:
    """The port `Counters` over one server. `random` gives bytes for the name of a new epoch."""

    def __init__(self, place: Place, random: Callable[[int], bytes], *, lease_seconds: float = 15.0) -> None:
        options: dict[str, Any] = {"username": place.username, "password": None if place.password is None else place.password.expose().decode()}
        if place.url.startswith("rediss:") and place.ca is not None:
            options["ssl_ca_certs"] = str(place.ca)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            place.url,
            max_connections=_CONNECTIONS,
            timeout=place.timeout,
            socket_timeout=place.timeout,
            socket_connect_timeout=place.timeout,
            retry=Retry(NoBackoff(), 0),
            **{name: value for name, value in options.items() if value is not None},
        )
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._random = random
        self._prefix = f"{{{place.prefix}}}:"
        self._timeout = place.timeout
        self._lease_ms = int(lease_seconds * 1000)
        self._quiet_ms = self._lease_ms // 2  # longer than the third after which workers renew, and then notice
        self._scripts: dict[str, Any] = {}
        self.epoch = ""  # of the store, as far as it is known

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def reserve(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        """As the port says. Raises: BegunAnew, TooYoung, CountersAway, StoreError."""
        word, *rest = await self._call(scripts.RESERVE, self._hold(asked, now_ms))
        match word.decode():
            case "granted":
                return Granted(tuple([_number(value) for value in rest[0]]))
            case "refused":
                return Refused(int(rest[0]), tuple([_number(value) for value in rest[1]]))
            case "unloaded":
                return Unloaded(asked.charges.some(rest[0]))
            case "released":
                raise StoreError("this request was released already")
            case "young":
                raise TooYoung("the counter store began anew, and waits for all workers to say what they hold", int(rest[0]) / 1000)
            case _:
                raise BegunAnew("the counter store is not the one that was known", 0.0)

    async def adopt(self, asked: Asked, now_ms: int) -> None:
        """Hold `asked` there whatever limits say, unless it is held or ended: it was granted by this worker. Raises: CountersAway."""
        self.epoch = (await self._call(scripts.ADOPT, self._hold(asked, now_ms))).decode()

    async def settle(self, request_id: str, actuals: Charges, ended_ms: int, *, epoch: str = "") -> None:
        """As the port says. `epoch` is the one in which it was reserved: unknown in the same one, it has ended long ago."""
        arguments: list[str | bytes | int] = [epoch, request_id, ended_ms, _ENDED_MS]
        for meter, amount in zip(actuals.meters.each, actuals.amounts, strict=True):
            arguments += [meter.name, amount, meter.forget_ms - ended_ms, int(meter.what == "money")]
        await self._call(scripts.SETTLE, arguments)

    async def release(self, request_id: str) -> None:
        """As the port says."""
        await self._call(scripts.RELEASE, [request_id, _ENDED_MS])

    async def renew(self, owner: str) -> None:
        """As the port says. Raises: BegunAnew, CountersAway."""
        known = self.epoch
        if await self._enter(owner) != known:
            raise BegunAnew("the counter store is not the one that was known", 0.0)

    async def enter(self) -> str:
        """Learn which epoch the store is in; from then on it is the known one. Raises: CountersAway."""
        self.epoch = await self._enter("")
        return self.epoch

    async def orphans(self) -> Sequence[Asked]:
        """As the port says. A reservation that is not ours to read is left alone."""
        found = []
        for request_id, owner, flat in await self._call(scripts.ORPHANS, [_ORPHANS]):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            try:
                held = {named(field[2:].decode(), 0): int(amount) for field, amount in sorted(fields.items()) if field.startswith(b"c:")}
            except ValueError:
                continue
            charges = Charges(together(held), tuple(held.values()))
            found.append(Asked(request_id.decode(), owner.decode(), charges, fields[b"n"]))
        return found

    async def read(self, names: Sequence[str]) -> Sequence[Reading]:
        """As the port says."""
        flat = await self._call(scripts.READ, names)
        return [Reading(_number(value), _number(reserved)) for value, reserved in zip(flat[::2], flat[1::2], strict=True)]

    async def load(self, spent: Charges, as_of_ms: int) -> None:
        """As the port says."""
        arguments: list[str | bytes | int] = [as_of_ms]
        for meter, amount in zip(spent.meters.each, spent.amounts, strict=True):
            arguments += [meter.name, amount, meter.forget_ms - as_of_ms]
        await self._call(scripts.LOAD, arguments)

    async def _enter(self, owner: str) -> str:
        answer: bytes = await self._call(scripts.RENEW, [self._candidate(), owner, self._lease_ms])
        return answer.decode()

    def _candidate(self) -> str:
        return self._random(8).hex()

    def _hold(self, asked: Asked, now_ms: int) -> list[str | bytes | int]:
        if len(asked.note) > _MAX_NOTE:
            raise ValueError("a note has at most 512 bytes")
        arguments: list[str | bytes | int] = [self._candidate(), self.epoch, self._quiet_ms, asked.request_id, asked.owner, asked.note]
        arguments += [_HOLD_MS, self._lease_ms, ""]
        for meter, amount in zip(asked.charges.meters.each, asked.charges.amounts, strict=True):
            arguments += [meter.name, amount, meter.limit, meter.forget_ms - now_ms, int(meter.what == "money")]
        return arguments

    async def _call(self, source: str, arguments: Sequence[str | bytes | int]) -> Any:
        """Run a script by its digest; the server gets its text where it doesn't know it. Raises: CountersAway."""
        script = self._scripts.get(source)
        if script is None:
            script = self._scripts[source] = self._redis.register_script(source)
        try:
            async with asyncio.timeout(self._timeout):
                return await script(keys=[self._prefix], args=arguments)
        except redis.exceptions.ResponseError as problem:
            raise CountersAway(f"the counter store refuses calls ({type(problem).__name__})") from None
        except (redis.exceptions.RedisError, OSError, TimeoutError):
            raise CountersAway("the counter store doesn't answer") from None
