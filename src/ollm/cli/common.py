"""What the commands share: finding the configuration, running coroutines, turning our errors into one line."""

import asyncio
import datetime
import functools
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from ollm.cli.output import fail
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError, OllmError
from ollm.net.clock import SystemClock

P = ParamSpec("P")
T = TypeVar("T")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="OLLM_CONFIG", help="The configuration file. It holds every trust anchor; `ollm init` writes one.")
]
AtOption = Annotated[
    str | None, typer.Option("--at", help="Time for which to speak: 2026-12-31, 2026-12-31T08:00:00Z, or Unix seconds. Default: now.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
_SECONDS = re.compile(r"[0-9]{9,12}")
DEFAULT_CONFIG = Path("ollm.toml")


def configuration(path: Path) -> Loaded:
    """The configuration at `path`. Raises: ConfigError."""
    return load(path)


def moment(at: str | None) -> int:
    """Unix seconds of what `--at` names; absent: now. A time without a zone is UTC. Raises: ConfigError."""
    if at is None:
        return SystemClock().now()
    if _SECONDS.fullmatch(at):
        return int(at)
    try:
        time = datetime.datetime.fromisoformat(at if "-" in at else "")  # 20261231 could be either: it is neither
        return int((time if time.tzinfo is not None else time.replace(tzinfo=datetime.UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ConfigError(f"{at[:40]!a} is no time", "write 2026-12-31, 2026-12-31T08:00:00Z, or Unix seconds") from None


def time_of(seconds: int) -> str:
    """Unix seconds for people, UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end."""
    return asyncio.run(work)


def one_line(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our own errors into one line and exit code 2; anything else is a defect and keeps its traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigError as problem:
            fail(problem.cause, problem.mend)
        except OllmError as problem:
            fail(str(problem))

    return guarded
