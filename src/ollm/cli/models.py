"""`ollm models`: what can be called, at what trust level, verified when, and why not."""

import asyncio
import time
from typing import Annotated, Any, TypeAlias

import typer

from ollm.app.build import level_of, machine_urls
from ollm.app.catalogue import route_to
from ollm.app.collateral import Collateral, collateral_of
from ollm.cli.catalogue import differing, price_now, prices
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import amount, emit, quiet, say, show_table
from ollm.cli.running import KeyOption, states_of
from ollm.config.load import Loaded
from ollm.config.settings import ModelSettings
from ollm.errors import ChannelRefused, ConfigError, UpstreamError, WireError
from ollm.net.clock import SystemClock
from ollm.upstream.catalogue import Catalogue
from ollm.upstream.session import Unverified, VerifiedSession
from ollm.values.price import RATES, Price

_Found: TypeAlias = tuple[dict[str, Any], Catalogue | str]
_AT_ONCE = 4  # verifications at the same time


@one_line
def models(
    config: ConfigOption = DEFAULT_CONFIG,
    listed: Annotated[bool, typer.Option("--catalogue", help="Compare each price with the one that the provider lists now.")] = False,
    gateway: Annotated[
        str, typer.Option("--gateway", help="Base URL of a running gateway, without /v1: show what it holds, and verify nothing.")
    ] = "",
    key: KeyOption = "env:OLLM_API_KEY",
    as_json: JsonOption = False,
) -> None:
    """List the configured models; each upstream's machine is verified now, by this command, as a request would have it verified.

    A running gateway tells what it holds itself: --gateway asks it, and shows who is in quarantine until when.
    Example: ollm models --gateway http://127.0.0.1:8400 --key env:OLLM_API_KEY
    """
    if gateway and listed:
        raise ConfigError("--gateway and --catalogue contradict each other", "a running gateway asks no provider for prices")
    rows = run(states_of(gateway, key, config)) if gateway else _rows(configuration(config), listed=listed)
    if as_json:
        emit(rows)
        return
    if not rows:
        say(quiet('No models yet. Add [models."NAME"] to the configuration.'))
        return
    show_table(
        ("MODEL", "UPSTREAM", "PROVIDER", "LEVEL", "PER MILLION IN/[CACHED/]OUT", "STATE"),
        [(row["model"], row["upstream"], row["provider"], row["level"], _shown_price(row["price"]), _verdict(row)) for row in rows],
    )


def _rows(loaded: Loaded, *, listed: bool) -> list[dict[str, Any]]:
    found = run(_ask_all(loaded, listed=listed))
    return [
        {
            "model": name,
            "upstream": upstream,
            "provider": loaded.settings.upstreams[upstream].adapter,
            "level": str(level_of(loaded, upstream)),
            "price": _price(price_now(model)),
            **state,
            **(_listed(name, model, told) if listed else {}),
        }
        for name, model in loaded.settings.models.items()
        for upstream in model.upstreams
        for state, told in found[upstream]
    ]


async def _ask_all(loaded: Loaded, *, listed: bool) -> dict[str, list[_Found]]:
    """What became of each machine of each upstream."""
    turns, clock = asyncio.Semaphore(_AT_ONCE), SystemClock()
    async with collateral_of(loaded, clock) as collateral:

        async def one(name: str, url: str) -> _Found:
            async with turns:
                return await _asked(loaded, name, url, collateral, listed=listed)

        async def each(name: str) -> list[_Found]:
            return await asyncio.gather(*(one(name, url) for url in await machine_urls(loaded, name, collateral)))

        names = list(loaded.settings.upstreams)
        return dict(zip(names, await asyncio.gather(*map(each, names)), strict=True))


async def _asked(loaded: Loaded, name: str, url: str, collateral: Collateral, *, listed: bool) -> _Found:
    """The state of the machine of upstream `name` at `url`, and its provider's list, or why there is none."""
    settings = loaded.settings.upstreams[name]
    state: dict[str, Any] = {"verified": False, "verified_at": None, "expires_at": None, "session_id": None, "reason": None}
    state |= {"machine": None if settings.max_machines is None else url.removeprefix("https://")}
    told: Catalogue | str = "not asked"
    if settings.policy is None and not listed:
        return state, told
    try:
        async with route_to(loaded, name, collateral, url=url) as route:
            if isinstance(route, VerifiedSession):
                held = {"verified_at": route.established_at, "expires_at": route.expires_at, "session_id": route.session_id}
                state |= {"verified": True, **held}
            if listed:
                try:
                    told = await route.catalogue()
                except (ChannelRefused, UpstreamError, WireError) as problem:
                    told = str(problem)
    except Unverified as refusal:
        return {**state, "reason": refusal.reason}, "refused, so not asked"
    return state, told


def _listed(name: str, model: ModelSettings, told: Catalogue | str) -> dict[str, Any]:
    """What the provider lists of a model: its prices, and those that are configured otherwise; or why nobody knows."""
    if isinstance(told, str):
        return {"listed_price": None, "price_differs": [], "not_listed": told}
    offer = told.find(model.upstream_model or name)
    if offer is None:
        return {"listed_price": None, "price_differs": [], "not_listed": "the provider doesn't list it"}
    return {"listed_price": prices(offer), "price_differs": list(differing(model, offer)), "not_listed": None}


def _price(price: Price | None) -> dict[str, str] | None:
    if price is None:
        return None
    return {name: amount(rate) for name in RATES if (rate := getattr(price, name)) is not None}


def _shown_price(price: dict[str, str] | None) -> str:
    return "/".join(price[name] for name in ("input", "cached", "output") if name in price) if price is not None else "no price"


def _verdict(row: dict[str, Any]) -> str:
    if row["verified"]:
        verdict = f"[green]verified[/] {_time(row['verified_at'])}, holds until {_time(row['expires_at'])}"
    elif row["reason"] is not None:
        verdict = f"[red]refused[/] {quiet(str(row['reason']))}"
        if row.get("retry_at") is not None:
            verdict += f"; [yellow]in quarantine[/] until {_time(row['retry_at'])}"
    elif row["level"] == "zdr":
        verdict = "[yellow]not attested[/]: its provider has no evidence"
    else:
        verdict = "[yellow]not verified yet[/]"
    machine = f"{quiet(row['machine'])}: " if row.get("machine") else ""
    return machine + verdict + _listed_note(row)


def _listed_note(row: dict[str, Any]) -> str:
    if row.get("not_listed") is not None:
        return f"; no listed price: {quiet(row['not_listed'])}"
    if not row.get("price_differs"):
        return ""
    others = ", ".join(f"{name} {row['listed_price'][name]}" for name in row["price_differs"])
    return f"; [yellow]the provider lists {quiet(others)}[/]"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
