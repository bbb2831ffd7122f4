"""`ollm collateral`: vendors' statements about hardware: what is stored, and carrying it to a machine without a network."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ollm.app.build import provider_session
from ollm.app.collateral import collateral_of, shelf_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import REFUSED, emit, quiet, say
from ollm.config.load import Loaded
from ollm.errors import ConfigError
from ollm.net.clock import SystemClock
from ollm.net.collateral import archive, needs, sigstore
from ollm.net.collateral.artefact import Artefact
from ollm.net.collateral.shelf import Shelf, read_regular, summary
from ollm.upstream.session import Unverified

app = typer.Typer(
    no_args_is_help=True,
    help="What vendors publish about their hardware: see what is stored, fetch it ahead, and carry it to a machine without a network.",
)

_STATES = {"fresh": "[green]fresh[/]", "stale": "[yellow]stale[/]", "ended": "[red]ended[/]"}
_OUTCOMES = {"added": "[green]added[/]", "replaced": "[green]replaced[/]", "older": "[yellow]older[/]", "ended": "[red]ended[/]"}


@app.command("list")
@one_line
def list_collateral(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List what is stored: kind, subject, when it is asked for anew and when it ends. Stale: past the first; ended: past the second."""
    shelf, now = _shelf(configuration(config), read_only=True), SystemClock().now()
    rows = [summary(copy, now) for copy in shelf.all(now)]
    if as_json:
        emit(rows)
        return
    for row in rows:
        _line(_STATES[str(row["state"])], row)
    if not rows:
        say(f"Nothing is stored in {quiet(str(shelf.path))}. A gateway stores what it fetches; `ollm collateral fetch` fetches ahead.")


@app.command()
@one_line
def fetch(
    need: Annotated[
        list[str] | None,
        typer.Argument(help="tdx:FMSPC[:processor], snp:PRODUCT[:vlek], vcek:PRODUCT:CHIP:BL.TEE.SNP.UCODE[.FMC] or rim:ID; any number of them."),
    ] = None,
    upstream: Annotated[list[str] | None, typer.Option(help="Ask this upstream for evidence now, and fetch what that calls for.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Fetch collateral now and store it, to be exported or to have it when a service fails.

    Example: ollm collateral fetch tdx:00906ED50000 snp:Genoa --upstream near
    """
    loaded = configuration(config)
    shelf = _shelf(loaded)
    if not need and not upstream:
        raise ConfigError("nothing to fetch is named", "name needs, or --upstream NAME")
    if loaded.settings.collateral.offline:
        raise ConfigError("collateral.offline is set: nothing is fetched here", "fetch on a machine with a network, then export and import")
    unknown = [name for name in upstream or () if name not in loaded.settings.upstreams]
    if unknown:
        raise ConfigError(f"there is no upstream {unknown[0]!r} in the configuration", "name one that is configured")
    clock = SystemClock()
    had = run(_fetch(loaded, need or [], upstream or [], clock))
    rows = [summary(copy, clock.now()) for copy in had]
    if as_json:
        emit(rows)
        return
    for row in rows:
        _line(_STATES[str(row["state"])], row)
    say(f"In {quiet(str(shelf.path))}.")


async def _fetch(loaded: Loaded, wanted: list[str], upstreams: list[str], clock: SystemClock) -> tuple[Artefact, ...]:
    async with collateral_of(loaded, clock, read_only=False) as collateral:
        for need in wanted:
            await needs.fetch(collateral.machine(None), need)
        for name in upstreams:
            try:
                async with provider_session(loaded, name, collateral):
                    pass
            except Unverified as refusal:
                if refusal.appraisal.failure is None or refusal.appraisal.failure.name == "evidence.fetch":
                    raise ConfigError(f"evidence or collateral of {name} can't be had: {refusal.reason}", "see that it can be reached") from None
        return tuple(copy for copy in collateral.cache.held() if copy.key.traits.stored)


@app.command()
@one_line
def export(
    file: Annotated[Path, typer.Argument(help="The archive to write: a tar, the same bytes for the same collateral.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write what is stored and has not ended into one file, with a manifest of digests and ends.

    Example: ollm collateral export collateral.tar
    """
    shelf, now = _shelf(configuration(config), read_only=True), SystemClock().now()
    copies = [copy for copy in shelf.all(now) if now < copy.term.end]
    if not copies:
        raise ConfigError(f"nothing that holds is stored in {shelf.path}", "run the gateway, or `ollm collateral fetch`, first")
    data = archive.pack(copies)
    try:
        file.write_bytes(data)
    except OSError as problem:
        raise ConfigError(f"can't write {file}: {problem.strerror}", "name a file that you can write") from None
    first = min(copy.term.end for copy in copies)
    if as_json:
        emit({"file": str(file), "bytes": len(data), "artefacts": [summary(copy, now) for copy in copies], "first_end": first})
    else:
        say(f"{len(copies)} artefacts, {len(data)} bytes, in {quiet(str(file))}. The first of them ends {_time(first)}.")


@app.command("import")
@one_line
def import_archive(
    file: Annotated[Path | None, typer.Argument(help="An archive that `ollm collateral export` wrote.")] = None,
    sigstore_root: Annotated[
        Path | None, typer.Option(help="A trusted_root.json of Sigstore; collateral.sigstore_root_sha256 says whether it is used.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put an archive's collateral into the store where it is newer. A running gateway that is offline notices within a minute.

    The archive needs no trust: signatures are verified when the collateral is used.
    Example: ollm collateral import collateral.tar
    """
    shelf, now = _shelf(configuration(config)), SystemClock().now()
    if file is None and sigstore_root is None:
        raise ConfigError("nothing to import is named", "name an archive, or --sigstore-root FILE")
    copies = archive.unpack(_read(file), now) if file is not None else []
    if sigstore_root is not None:
        copies.append(sigstore.brought(_read(sigstore_root), now))
    outcomes = archive.bring(shelf, copies, now)
    if as_json:
        emit([{**summary(copy, now), "outcome": outcome} for copy, outcome in outcomes])
    else:
        for copy, outcome in outcomes:
            _line(_OUTCOMES.get(outcome, outcome), summary(copy, now))
    if outcomes and all(outcome == "ended" for _, outcome in outcomes):
        raise typer.Exit(REFUSED)


def _shelf(loaded: Loaded, *, read_only: bool = False) -> Shelf:
    shelf = shelf_of(loaded, read_only=read_only)
    if shelf is None:
        raise ConfigError("collateral.directory is empty: nothing is stored here", 'for example directory = "collateral"')
    return shelf


def _read(file: Path) -> bytes:
    try:
        return read_regular(file, archive.MAX_ARCHIVE)
    except OSError as problem:
        raise ConfigError(f"can't read {file}: {problem.strerror}", "name a file that exists") from None


def _line(mark: str, row: dict[str, Any]) -> None:
    say(f"{mark} {row['kind']:<13} {quiet(str(row['subject'])):<34} [dim]anew {_time(row['soft_end'])}, ends {_time(row['hard_end'])}[/]")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, 253_402_300_799), UTC).strftime("%Y-%m-%d %H:%M")
