"""`ollm rules`: whether rules are right, what they say, and where they would act on a request."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ollm.cli.common import DEFAULT_CONFIG, JsonOption, one_line
from ollm.cli.output import REFUSED, emit, quiet, say
from ollm.config.explain.rules import lines
from ollm.config.load import load
from ollm.config.policy_file import read_limited, toml_table
from ollm.config.rules_file import check_in_time, read_rules
from ollm.errors import ConfigError, WireError
from ollm.net.clock import SystemClock
from ollm.values.rules import Rules, Side, digest
from ollm.wire.detect.json_texts import Found, found_in
from ollm.wire.detect.screen import screen_of
from ollm.wire.strict_json import parse_object

app = typer.Typer(no_args_is_help=True, help="Rules for requests: check them, explain them, and try them on a request.")

_MOST = 32 * 1024 * 1024  # bytes of a request on standard input
_CONFIGURATION = {"gateway", "upstreams", "models", "rules"}  # tables by which a file is a configuration

FileOption = Annotated[Path, typer.Option("--file", "-f", envvar="OLLM_CONFIG", help="The configuration, or a file with the rules of one table.")]


@app.command()
@one_line
def check(
    file: Annotated[Path, typer.Argument(help="The configuration, or a file with the rules of one table.")] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check rules as a gateway would, exceptions and their ends included, and print the digest of each table.

    Example: ollm rules check ollm.toml
    """
    tables = _tables(file)
    found = {name: digest({name: rules}) for name, rules in tables.items()}
    if as_json:
        emit({"rules": found})
        return
    for name, value in found.items():
        say(quiet(f"{name}  {value}"))
    if not found:
        say("no rules")


@app.command()
@one_line
def explain(
    name: Annotated[str | None, typer.Argument(help="A table of [rules]; absent: all of them.")] = None,
    file: FileOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say in words what rules demand.

    Example: ollm rules explain base
    """
    tables = _chosen(_tables(file), [name] if name is not None else [], file)
    if as_json:
        emit({each: {"digest": digest({each: rules}), "says": list(lines(each, rules))[1:]} for each, rules in tables.items()})
        return
    for each, rules in tables.items():
        for line in lines(each, rules):
            say(quiet(line))


@app.command(name="test")
@one_line
def try_out(
    names: Annotated[list[str] | None, typer.Argument(help="Tables of [rules]; absent: all of them.")] = None,
    file: FileOption = DEFAULT_CONFIG,
    answer: Annotated[bool, typer.Option("--answer", help="The input is an answer, not a request.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which rules about texts would act on the JSON on standard input, and where. It prints names and positions, never what it found.

    Ends 1 where a rule would block. Example: ollm rules test base <request.json
    """
    tables = _chosen(_tables(file), names or [], file)
    found = _found(tables, sys.stdin.buffer.read(_MOST + 1), "answer" if answer else "request")
    if as_json:
        emit({"found": [msgspec.to_builtins(each) for each in found]})
    for each in () if as_json else found:
        say(quiet(f"{each.action:5}  {each.rule}  {each.pointer}  characters {each.start} to {each.end}"))
    if not found and not as_json:
        say("no rule about texts would act")
    if any(each.action == "block" for each in found):
        raise typer.Exit(REFUSED)


def _found(tables: dict[str, Rules], body: bytes, side: Side) -> Sequence[Found]:
    if len(body) > _MOST:
        raise ConfigError(f"the input is larger than {_MOST} bytes", "give one request")
    screen = screen_of([(name, rule) for name, rules in tables.items() for rule in rules.prompt], side)
    if screen is None:
        return ()
    try:
        parse_object(body)
        return tuple(found_in(body, screen))
    except WireError as problem:
        raise ConfigError(f"the input can't be read: {problem.reason}", "give the JSON body of one request") from None


def _tables(file: Path) -> dict[str, Rules]:
    """The tables in `file`. Raises: ConfigError."""
    if not _CONFIGURATION & set(toml_table(read_limited(file), str(file))):
        return read_rules(file)
    settings = load(file).settings
    check_in_time(settings, SystemClock().now())
    return settings.rules


def _chosen(tables: dict[str, Rules], names: Sequence[str], file: Path) -> dict[str, Rules]:
    for name in names:
        if name not in tables:
            raise ConfigError(f"{file} has no rules {name!a}", f"there are: {', '.join(tables) or 'none'}")
    return {name: tables[name] for name in names} if names else tables
