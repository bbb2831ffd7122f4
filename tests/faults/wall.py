"""A gateway before a row of providers, each of which does one thing wrong; and what two clients see of it, asking all at once.

The providers are open ones, or machines that are attested and sealed to.
"""

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai

from ollm.config.settings import Settings
from ollm.gateway.context import Gateway
from ollm.net.clock import SystemClock
from ollm.testing.providers.tls import certified
from ollm.values.ledger import Entry
from tests.faults.catalogue import Fault
from tests.faults.upstream import Upstream, answers, refusing
from tests.scripted_enclave import OwnMachine
from tests.stage import Stage, configuration, eventually, opened, policy_table

SECONDS = 30.0  # for one exchange: a slow machine is left its time
_AT_ONCE = 8  # a machine answers only so many who ask for evidence
_NO_CEILING = httpx2.Limits(max_connections=None)


class Case(msgspec.Struct, frozen=True):
    """One request: which fault it meets, in which form it asks, and whether there is a second upstream behind the first."""

    fault: str
    streamed: bool
    second: bool
    client: str  # raw or openai

    @property
    def model(self) -> str:
        return model_of(self.fault, second=self.second)

    @property
    def prompt(self) -> str:
        return f"{self.model}/{self.streamed}/{self.client}"


class Seen(msgspec.Struct, kw_only=True):
    """What came of one request. `raised` and `code` are of the client's exception; `text` is what it has of the answer."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    text: str = ""
    raised: str = ""
    code: str | None = None
    said: str = ""  # by the exception
    entry: Entry | None = None
    receipt: dict[str, Any] | None = None
    attempts: int = 0  # requests that came to either upstream


class Wall(msgspec.Struct):
    """What was seen of all cases, and what was left when they were over."""

    seen: dict[Case, Seen]
    rows: Counter[str]
    budget: int | None
    left: list[str]
    sealed: bool = False


def model_of(fault: str, *, second: bool) -> str:
    """The model that meets `fault`: names of the configuration's have no spaces."""
    return fault.replace(" ", "-") + ("/and-another" if second else "")


def cases(faults: Iterable[Fault], *, sealed: bool = False) -> list[Case]:
    """All requests. What comes behind a seal is no other for one client than for another, so there one asks that sees every byte."""
    clients = ("raw",) if sealed else ("raw", "openai")
    forms = [(streamed, second) for streamed in (False, True) for second in (False, True)]
    return [Case(fault.name, streamed, second, client) for fault in faults for streamed, second in forms for client in clients]


def budget(settings: Settings) -> int | None:
    """How often one request may be sent, where the configuration says so; None: once, and to the next where no connection was had."""
    rules = getattr(settings, "routing", None)
    return None if rules is None else int(rules.attempts)


class _Stage(msgspec.Struct):
    stage: Stage
    upstreams: dict[str, Upstream]
    good: Upstream


@contextlib.asynccontextmanager
async def _sealed(folder: Path, faults: Iterable[Fault], timeouts: dict[str, float]) -> AsyncIterator[_Stage]:
    """Each provider is verified while it does nothing wrong yet; what goes wrong before a request is read begins then."""
    async with contextlib.AsyncExitStack() as exits:
        machine = OwnMachine()
        await machine.start()
        exits.push_async_callback(machine.stop)
        good = await exits.enter_async_context(Upstream(answers, machine=machine))
        upstreams = {
            fault.name: await exits.enter_async_context(Upstream(fault.play, plain=fault.play if fault.plain else None, machine=machine))
            for fault in faults
        }
        tree = configuration({}, gateway={"floor": "simulated", "timeouts": timeouts}, models=_models(faults))
        tree["routing"]["breaker"] = {"failures": 0, "window": 10_000}  # each case stands for itself
        tree["policies"] = {"machine": policy_table(machine.policy)}
        place = {"policy": "machine", "pcs_url": machine.pcs_url, "root_crl_url": machine.root_crl_url}
        urls = {"good": good.url, **{f"up-{number}": upstream.url for number, upstream in enumerate(upstreams.values())}}
        tree["upstreams"] = {name: {"url": url, **place} for name, url in urls.items()}
        stage = await exits.enter_async_context(opened(folder, tree))
        keepers = list(stage.gateway.keepers.values())
        for few in (keepers[at : at + _AT_ONCE] for at in range(0, len(keepers), _AT_ONCE)):
            await asyncio.gather(*(keeper.session(SECONDS) for keeper in few))
        for fault in faults:
            if fault.name == "connection refused":
                exits.enter_context(await upstreams[fault.name].leave())
            elif fault.name == "certificate of another authority":
                await upstreams[fault.name].turn(certified(SystemClock().now()).identity.context())
            elif fault.plain:
                await upstreams[fault.name].turn()
        yield _Stage(stage, upstreams, good)


def _models(faults: Iterable[Fault]) -> dict[str, Any]:
    """For each fault one that meets it alone, and one that has another upstream behind it."""
    models: dict[str, Any] = {}
    for number, fault in enumerate(faults):
        for second in (False, True):
            models[model_of(fault.name, second=second)] = {"upstreams": [f"up-{number}", "good"][: 1 + second], "upstream_model": "theirs"}
    return models


@contextlib.asynccontextmanager
async def _opened(folder: Path, faults: Iterable[Fault], timeouts: dict[str, float]) -> AsyncIterator[_Stage]:
    identity = certified(SystemClock().now())
    async with contextlib.AsyncExitStack() as exits:
        good = await exits.enter_async_context(Upstream(answers, identity=identity))
        upstreams, urls = {}, {"good": good.url}
        for number, fault in enumerate(faults):
            own = None if fault.name == "certificate of another authority" else identity
            upstream = Upstream(fault.play, plain=fault.play if fault.plain else None, identity=own)
            upstreams[fault.name] = await exits.enter_async_context(upstream)
            urls[f"up-{number}"] = exits.enter_context(refusing()) if fault.name == "connection refused" else upstream.url
        tree = configuration({}, gateway={"floor": "zdr", "timeouts": timeouts}, models=_models(faults))
        if "routing" in tree:
            tree["routing"]["breaker"] = {"failures": 0, "window": 10_000}  # each case stands for itself
        tree["upstreams"] = {name: {"url": url, "adapter": "openai-compatible", "ca": identity.ca} for name, url in urls.items()}
        yield _Stage(await exits.enter_async_context(opened(folder, tree)), upstreams, good)


async def suffer(folder: Path, faults: tuple[Fault, ...], timeouts: dict[str, float], *, sealed: bool = False) -> Wall:
    """Ask everything at once, and look at what is left behind when all of it is over."""
    before, tasks = sockets(), asyncio.all_tasks()
    seen: dict[Case, Seen] = {}
    async with (_sealed if sealed else _opened)(folder, faults, timeouts) as play:
        stage = play.stage
        client = openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0, timeout=SECONDS)
        raw = httpx2.AsyncClient(base_url=stage.url, headers=stage.http.headers, timeout=SECONDS, limits=_NO_CEILING)
        async with client, raw:
            try:
                all_cases = cases(faults, sealed=sealed)
                found = await asyncio.gather(*(_ask_raw(raw, case) if case.client == "raw" else _ask(client, case) for case in all_cases))
                seen = dict(zip(all_cases, found, strict=True))
            finally:
                left = await _left_running(play)
        for case, one in seen.items():
            await _look_up(play, case, one)
        rows = await stage.gateway.ledger.recent(10_000)  # type: ignore[attr-defined]  # SqlLedger's own
        limit = budget(stage.loaded.settings)
    try:
        await eventually(lambda: sockets() <= before and asyncio.all_tasks() <= tasks, 5)
    except TimeoutError:
        left.append(f"{sockets() - before} sockets, {[task.get_name() for task in asyncio.all_tasks() - tasks]}")
    return Wall(seen, Counter(entry.request_id for entry in rows), limit, left, sealed)


async def _left_running(play: _Stage) -> list[str]:
    """What of the requests goes on once their clients have what they will get: nothing may."""
    gateway, left = play.stage.gateway, []
    upstreams = play.upstreams.values()
    watched: dict[str, Callable[[], int]] = {
        "requests without a row": lambda: play.stage.under_way,
        "connections to providers in use": lambda: busy(gateway),
        "providers that answer still": lambda: sum(upstream.playing for upstream in upstreams),
    }
    for name, count in watched.items():
        try:
            await eventually(partial(_none, count), 8)
        except TimeoutError:
            left.append(f"{count()} {name}: {[fault for fault, upstream in play.upstreams.items() if upstream.playing]}")
    return left


def _none(count: Callable[[], int]) -> bool:
    return count() == 0


def busy(gateway: Gateway) -> int:
    """Connections to providers that carry a request now."""
    routes = [keeper.held() for keeper in gateway.keepers.values()]
    return sum(len(route._pool._busy) for route in routes if route is not None)


def sockets() -> int:
    """Open sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            pass  # the listing's own
    return count


async def _ask_raw(http: httpx2.AsyncClient, case: Case) -> Seen:
    body = {"model": case.model, "messages": [{"role": "user", "content": case.prompt}], "stream": case.streamed}
    response = await http.post("/v1/chat/completions", content=json.dumps(body))
    return Seen(status=response.status_code, headers=dict(response.headers), body=response.content)


async def _ask(client: openai.AsyncOpenAI, case: Case) -> Seen:
    seen = Seen(status=0, headers={})
    messages: Any = [{"role": "user", "content": case.prompt}]
    create = client.chat.completions.with_raw_response.create
    try:
        if case.streamed:
            response: Any = await create(model=case.model, messages=messages, stream=True)
            seen.status, seen.headers = 200, dict(response.headers)
            async for piece in response.parse():
                seen.text += piece.choices[0].delta.content or ""
        else:
            response = await create(model=case.model, messages=messages)
            seen.status, seen.headers = 200, dict(response.headers)
            seen.text = response.parse().choices[0].message.content
    except openai.APIError as error:
        seen.raised, seen.code, seen.said = type(error).__name__, error.code, str(error)
        if isinstance(error, openai.APIStatusError):
            seen.status, seen.headers = error.status_code, dict(error.response.headers)
    except ValueError as error:  # bytes that it can't read
        seen.raised = type(error).__name__
    return seen


async def _look_up(play: _Stage, case: Case, seen: Seen) -> None:
    stage = play.stage
    seen.attempts = play.upstreams[case.fault].asked[case.prompt] + play.good.asked[case.prompt]
    if "x-request-id" in seen.headers:
        seen.entry = await stage.gateway.ledger.find(seen.headers["x-request-id"].removeprefix("req_"))
        answer = httpx2.Response(seen.status, headers=seen.headers)
        seen.receipt = await stage.receipt(answer) if "x-receipt-id" in seen.headers else None
