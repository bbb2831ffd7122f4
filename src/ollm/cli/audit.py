"""`ollm audit` and `ollm verify audit`: what administrators did, and that nobody changed the record of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ollm.app.initialise import write_private
from ollm.cli.administering import with_store
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, time_of
from ollm.cli.output import REFUSED, check_document, emit, quiet, say, show_checks
from ollm.config.load import Loaded, key_bytes
from ollm.errors import ConfigError, EvidenceRefused, WireError
from ollm.receipts.audit import MAX_LINE, STEPS, Chain, Head, Logged, header_line, parse_head, parse_header, parse_line
from ollm.store.audit import EventFilter
from ollm.store.sqlite import Store
from ollm.values.checks import Check, Outcome

app = typer.Typer(no_args_is_help=True, help="Look at the audit log, or export it. `ollm verify audit` checks it.")


@app.command("list")
@one_line
def list_events(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest events.")] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List what administrators did, newest first."""

    async def work(store: Store) -> list[Logged]:
        return await store.administration.events(EventFilter(newest_first=True), limit)

    found = _readable(configuration(config), work)
    if as_json:
        emit([{**msgspec.to_builtins(entry.event), "digest": entry.digest} for entry in found])
        return
    for entry in found:
        event = entry.event
        changes = ", ".join(f"{name}={value}" for name, value in event.changes.items())
        say(f"{event.entry:>6}  {time_of(event.at)}  {event.actor:<18} {event.action:<26} {event.target}  [dim]{quiet(changes)}[/]")
    if not found:
        say("Nothing yet.")


@app.command()
@one_line
def export(
    file: Annotated[Path, typer.Argument(help="A new file: JSON Lines, readable by its owner alone.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the whole audit log to a file that `ollm verify audit FILE` checks anywhere. Keep the head that it prints."""

    async def work(store: Store) -> Head:
        write_private(file, header_line(store.installation_id) + b"\n")
        with file.open("ab") as out:
            async for entry in store.administration.log():
                out.write(entry.line() + b"\n")
        return await store.administration.head()

    head = _readable(configuration(config), work)
    if as_json:
        emit({"file": str(file), "head": str(head)})
    else:
        say(f"Wrote {quiet(str(file))}. Head: {head}")


@one_line
def verify_audit(
    file: Annotated[Path | None, typer.Argument(help="An exported log. Absent: the log in the configuration's store.")] = None,
    head: Annotated[str | None, typer.Option("--head", help="A head that was printed before, ENTRY:DIGEST: the log must still hold it.")] = None,
    macs: Annotated[bool, typer.Option("--macs", help="With a file: check its MACs too, with the row key of the configuration.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the audit log: nothing changed, removed or put elsewhere, and no other chain in its place.

    That events were cut off at the end shows only against a head from before: keep the one that is printed.
    Example: ollm verify audit audit.jsonl --head 41:9f3c…
    """
    remembered = _head(head)
    found: Head | None
    if file is None:
        loaded = configuration(config)
        found, refusal = with_store(loaded, lambda store: _judged(_logged(store), store.installation_id, _row_key(loaded), remembered))
        keyed = True
    else:
        keyed = macs
        found, refusal = _judge_file(file, _row_key(configuration(config)) if macs else None, remembered)
    _report(found, refusal, keyed=keyed, remembered=remembered is not None, as_json=as_json)


async def _logged(store: Store) -> AsyncIterator[Logged]:
    async for entry in store.administration.log():
        yield entry


async def _judged(entries: AsyncIterator[Logged], installation: str, row_key: bytes, remembered: Head | None) -> tuple[Head, EvidenceRefused | None]:
    try:
        chain = Chain(installation, row_key, remembered)
    except EvidenceRefused as refusal:
        return Head(0, Chain(installation, None).head.digest), refusal
    try:
        async for entry in entries:
            chain.take(entry)
        return chain.end(), None
    except EvidenceRefused as refusal:
        return chain.head, refusal


def _judge_file(file: Path, row_key: bytes | None, remembered: Head | None) -> tuple[Head | None, EvidenceRefused | None]:
    chain = None
    try:
        for number, line in enumerate(_lines(file), 1):
            if chain is None:
                chain = Chain(parse_header(line), row_key, remembered)
            else:
                chain.take(parse_line(line, number))
        if chain is None:
            raise EvidenceRefused("audit.format", "an empty file", "an exported audit log")
        return chain.end(), None
    except EvidenceRefused as refusal:
        return chain.head if chain is not None else None, refusal


def _lines(file: Path) -> Iterator[bytes]:
    """Lines of `file`, one in memory at a time; a last one without its newline was cut. Raises: ConfigError."""
    try:
        with file.open("rb") as opened:
            while line := opened.readline(MAX_LINE + 2):
                yield line.removesuffix(b"\n") if line.endswith(b"\n") else line + b" "  # never canonical
    except OSError as problem:
        raise ConfigError(f"can't read {file}: {problem.strerror}", "name a file that exists") from None


def _report(head: Head | None, refusal: EvidenceRefused | None, *, keyed: bool, remembered: bool, as_json: bool) -> None:
    steps = [name for name in STEPS if (keyed or name != "audit.mac") and (remembered or name != "audit.head")]
    checks = tuple(_check(name, refusal) for name in steps)
    unproven = _unproven(keyed=keyed, remembered=remembered)
    if as_json:
        document: dict[str, Any] = {"accepted": refusal is None, "checks": [check_document(check) for check in checks]}
        emit({**document, "events": head.entry if head is not None else 0, "head": str(head) if head is not None else None, "unproven": unproven})
    else:
        show_checks(checks)
        for text in unproven:
            say(f"  [dim]Not proven: {text}.[/]")
        if refusal is None:
            say(f"[green]Accepted[/]: {head.entry if head is not None else 0} events. Head: {head}")
        else:
            say(f"[red]Refused.[/] What was checked before holds until event {head.entry if head is not None else 0}.")
    if refusal is not None:
        raise typer.Exit(REFUSED)


def _check(name: str, refusal: EvidenceRefused | None) -> Check:
    if refusal is None:
        return Check(name, Outcome.PASSED, STEPS[name])
    if name == refusal.check:
        return Check(name, Outcome.FAILED, refusal.got, refusal.want)
    return Check(name, Outcome.NOT_REACHED)  # events behind the refused one were not looked at


def _unproven(*, keyed: bool, remembered: bool) -> list[str]:
    found = [] if keyed else ["that this installation wrote the log: its MACs were not checked (--macs)"]
    return found if remembered else [*found, "that no events were cut off at its end: no head was remembered (--head)"]


def _head(text: str | None) -> Head | None:
    try:
        return None if text is None else parse_head(text)
    except WireError:
        raise ConfigError("--head is no head", "give one that was printed before: a number, a colon and 64 hexadecimal characters") from None


def _row_key(loaded: Loaded) -> bytes:
    source = loaded.settings.secrets.row_key
    return key_bytes(loaded.secret(source), source)


def _readable(loaded: Loaded, work: Any) -> Any:
    """What `work` makes of the store. Raises: ConfigError where the log has rows that are none."""
    try:
        return with_store(loaded, work)
    except EvidenceRefused as refusal:
        raise ConfigError(f"the audit log can't be read: {refusal}", "`ollm verify audit` says how far it holds") from None
