"""What the commands of administration share: the store, opened locally; who does it; projects by id or name; terms from options."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from ollm.app.installation import store_of
from ollm.cli.common import run
from ollm.config.load import Loaded, key_bytes
from ollm.config.terms_rules import check_terms
from ollm.errors import ConfigError
from ollm.store.changes import Changes, View, local_actor
from ollm.store.sqlite import Store
from ollm.values.identity import Project
from ollm.values.terms import WINDOWS, Limit, Terms

DAY = 86_400
MICRO = 1_000_000
T = TypeVar("T")

ProjectOption = Annotated[str, typer.Option("--project", help="Id or name of the project.")]
ModelsOption = Annotated[list[str] | None, typer.Option("--model", help="A model that may be used; again for another. All, if absent.")]
NetworksOption = Annotated[list[str] | None, typer.Option("--network", help="Where requests may come from: 10.0.0.0/8; again for another.")]
LimitsOption = Annotated[
    list[str] | None,
    typer.Option("--limit", help="requests_per_minute=60, or for one model MODEL:tokens_per_day=100000; again for another. Also: parallel."),
]
BudgetsOption = Annotated[list[str] | None, typer.Option("--budget", help="month=25.50, in units of currency; again for another window.")]


def with_store(loaded: Loaded, work: Callable[[Store], Awaitable[T]]) -> T:
    """What `work` makes of the store. Raises: ConfigError, StoreError."""

    async def opened() -> T:
        async with store_of(loaded, role="admin") as store:
            return await work(store)

    return run(opened())


def reading(loaded: Loaded, work: Callable[[View], T]) -> T:
    """What `work` reads. Raises: ConfigError, StoreError."""
    return with_store(loaded, lambda store: store.administration.read(work))


def changing(loaded: Loaded, work: Callable[[Changes], T]) -> T:
    """What `work` changes, under the name of this user of the machine. Raises: ConfigError, StoreError."""
    return with_store(loaded, lambda store: store.administration.write(local_actor(), int(time.time()), work))


def pepper_of(loaded: Loaded) -> bytes:
    """Raises: ConfigError."""
    source = loaded.settings.secrets.pepper
    return key_bytes(loaded.secret(source), source)


def project_named(view: View, name: str) -> Project:
    """The project with this id, else the one open project with this name. Raises: ConfigError."""
    found = view.one(Project, name)
    if found is not None:
        return found
    named = [project for project in view.all(Project, name=name) if project.archived_at is None]
    if len(named) != 1:
        many = "several projects have" if named else "there is no project with"
        raise ConfigError(f"{many} the id or name {name[:64]!a}", "`ollm projects list` shows their ids")
    return named[0]


def terms_of(loaded: Loaded, models: list[str] | None, networks: list[str] | None, limits: list[str] | None, budgets: list[str] | None) -> Terms:
    """Terms from options, checked against the configuration. Raises: ConfigError."""
    given: dict[str, Any] = {"limits": _limits(limits or []), "budgets": [_budget(text) for text in budgets or []]}
    if models is not None:
        given["models"] = models
    if networks is not None:
        given["networks"] = networks
    try:
        terms = msgspec.convert(given, Terms)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"these are no terms: {problem}", "see docs/howto/manage-keys.md") from None
    check_terms("the options", terms, loaded.settings)
    return terms


def _limits(texts: list[str]) -> list[dict[str, Any]]:
    """One table for each model, and one for all."""
    figures = {name for name in Limit.__struct_fields__ if name != "model"}
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        what, _, number = text.rpartition("=")
        model, _, figure = what.rpartition(":")
        if figure not in figures or not number.isdecimal():
            raise ConfigError(
                f"--limit {text[:64]!a} is no limit", f"write FIGURE=NUMBER or MODEL:FIGURE=NUMBER, with one of {', '.join(sorted(figures))}"
            )
        table = found.setdefault(model, {"model": model} if model else {})
        if figure in table:
            raise ConfigError(f"--limit gives {what[:64]!a} twice", "give each once")
        table[figure] = int(number)
    return list(found.values())


def _budget(text: str) -> dict[str, Any]:
    window, _, money = text.partition("=")
    micro = micro_of(money)
    if micro is None or window not in WINDOWS:
        raise ConfigError(f"--budget {text[:64]!a} is no budget", f"write WINDOW=AMOUNT, with one of {', '.join(WINDOWS)}")
    return {"window": window, "limit_micro": micro}


def micro_of(money: str) -> int | None:
    """Micro-units of an amount as people write it, such as 25.50; None when it isn't one."""
    whole, point, part = money.partition(".")
    if not (whole.isdecimal() and whole.isascii()) or (point and not (part.isdecimal() and part.isascii())) or len(part) > 6:
        return None
    return int(whole) * MICRO + int((part or "0").ljust(6, "0"))


def money_of(micro: int, currency: str) -> str:
    """Micro-units as people read them: four decimals, and more where there is something behind them."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    part = f"{micro % MICRO:06}"
    return f"{sign}{micro // MICRO}.{part if part[4:] != '00' else part[:4]} {currency}"


def day_of(seconds: int | None) -> str:
    """A date for people, UTC; a dash for none."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d", time.gmtime(seconds))
