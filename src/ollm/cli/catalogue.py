"""`ollm catalogue`: what a provider says that it has, and at what price. Its word; nothing of it takes effect until somebody writes it down."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from ollm.app.catalogue import catalogue_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import REFUSED, amount, emit, fail, quiet, say, show_table
from ollm.config.load import Loaded
from ollm.config.settings import ModelSettings
from ollm.errors import ConfigError
from ollm.net.clock import SystemClock
from ollm.traffic.price import differences
from ollm.upstream.catalogue import Catalogue
from ollm.upstream.session import Unverified
from ollm.values.price import Price, price_at
from ollm.wire.catalogue import Offer


@one_line
def catalogue(
    upstream: Annotated[str, typer.Argument(help="An upstream of the configuration.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print entries for the configuration: models that this upstream can be asked for.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what an upstream's provider offers: context, prices per million tokens, and where the configured price is another.

    A machine is verified first, and asked over its own attested connection. Prices are the provider's word: they take effect when you write them
    into the configuration.
    Example: ollm catalogue near --toml
    """
    loaded = configuration(config)
    settings = loaded.settings
    if upstream not in settings.upstreams:
        raise ConfigError(f"there is no upstream {upstream!r} in the configuration", f"configured: {', '.join(settings.upstreams) or 'none'}")
    if as_toml and as_json:
        raise ConfigError("--toml and --json contradict each other", "give one of them")
    try:
        told = run(catalogue_of(loaded, upstream))
    except Unverified as refusal:
        fail(f"{upstream} was refused, so it was asked for nothing: {refusal.reason}", code=REFUSED)
    if as_toml:
        for line in toml_lines(loaded, upstream, told):
            say(quiet(line))
        return
    rows = [_row(loaded, upstream, told, offer) for offer in told.offers]
    if as_json:
        emit({"upstream": upstream, "models": rows, "left_out": told.left_out, "complete": told.complete})
        return
    show_table(
        ("MODEL", "CONTEXT", "INPUT", "CACHED", "OUTPUT", "CONFIGURED"),
        [(row["id"], str(row["context_length"] or "-"), *_shown(row["price"]), _note(row)) for row in rows],
    )
    if told.left_out:
        say(f"[yellow]{told.left_out} entries have no name of their own that can be shown; they are left out.[/]")
    if not told.complete:
        say("[yellow]The provider has more models than it listed.[/]")
    say("[dim]Prices: USD per million tokens, as the provider lists them.[/]")


def configured(loaded: Loaded, upstream: str, offer: Offer) -> dict[str, ModelSettings]:
    """The models of the configuration that ask `upstream` for `offer`."""
    models = loaded.settings.models.items()
    return {name: model for name, model in models if upstream in model.upstreams and (model.upstream_model or name) == offer.id}


def differing(model: ModelSettings, offer: Offer) -> tuple[str, ...]:
    """The rates in which the configured price isn't the listed one."""
    price = price_now(model)
    return () if price is None else differences(price, offer)


def price_now(model: ModelSettings) -> Price | None:
    """The version of its price that holds now."""
    return price_at(model.prices, SystemClock().now_ms())


def prices(offer: Offer) -> dict[str, str | None]:
    """The prices of `offer`, per million tokens; None where none is known."""
    listed = offer.rates()
    always = {name: None if listed[name] is None else amount(listed[name] or 0) for name in ("input", "cached", "output")}
    return always | {name: amount(rate) for name, rate in listed.items() if rate is not None}


def _row(loaded: Loaded, upstream: str, told: Catalogue, offer: Offer) -> dict[str, Any]:
    found = configured(loaded, upstream, offer)
    return {
        "id": offer.id,
        "context_length": offer.context,
        "price": prices(offer),
        "reached": told.reached(offer),
        "configured": {name: {"priced": bool(model.prices), "price_differs": list(differing(model, offer))} for name, model in found.items()},
    }


def _shown(price: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(price[name] or "-" for name in ("input", "cached", "output"))


def _note(row: Mapping[str, Any]) -> str:
    notes = []
    for name, state in row["configured"].items():
        state_text = (
            f"other {', '.join(state['price_differs'])}" if state["price_differs"] else "same price" if state["priced"] else "without a price"
        )
        notes.append(f"[yellow]{quiet(name)}: {state_text}[/]" if state["price_differs"] else f"{quiet(name)}: {state_text}")
    return "; ".join(notes) or ("-" if row["reached"] else "[dim]not by this upstream[/]")


def toml_lines(loaded: Loaded, upstream: str, told: Catalogue) -> Iterator[str]:
    """Entries for the configuration, one for each model that `upstream` can be asked for and that isn't configured yet."""
    settings = loaded.settings
    adapter = settings.upstreams[upstream].adapter
    date = time.strftime("%Y-%m-%d", time.gmtime(SystemClock().now()))
    yield f"# As {adapter} listed them on {date}. Prices in millionths of USD per million tokens."
    for offer in told.offers:
        if not told.reached(offer):
            continue
        yield ""
        if found := configured(loaded, upstream, offer):
            yield f"# {offer.id} is configured: {', '.join(found)}"
        elif offer.id in settings.models:
            yield f'# models."{offer.id}" is configured for other upstreams: add {json.dumps(upstream)} to them'
        else:
            yield from _entry(upstream, offer, f"{adapter}-{date}")


def _entry(upstream: str, offer: Offer, version: str) -> Iterator[str]:
    yield f"[models.{json.dumps(offer.id)}]"
    yield f"upstreams = [{json.dumps(upstream)}]"
    if offer.context is not None:
        yield f"context_length = {offer.context}"
    if offer.input is None or offer.output is None:
        yield "# no price is listed: cost is recorded as unknown"
        return
    listed = {name: rate for name, rate in offer.rates().items() if rate is not None}
    rates = "".join(f"{name} = {rate}, " for name, rate in listed.items())
    yield f"price = {{ {rates}version = {json.dumps(version)} }}"
