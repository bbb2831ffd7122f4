"""`ollm doctor`: what is missing or unsafe in this installation, each with its mend."""

import datetime
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from ollm.app.build import data_directory
from ollm.app.collateral import shelf_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.doctor_policies import policy_notes
from ollm.cli.output import REFUSED, emit, quiet, say
from ollm.config.load import Loaded, is_loopback, key_bytes, listen_address
from ollm.errors import ConfigError
from ollm.net.clock import SystemClock
from ollm.values.level import Level

_SOON = 3 * 86_400  # seconds in which somebody can carry a file


class Finding(msgspec.Struct, frozen=True):
    """`severity` is unsafe (ends with exit code 1), note, or ok."""

    severity: str
    what: str
    mend: str = ""


@one_line
def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look the installation over: configuration, secrets, clock, trust floor, process limits. Exit code 1 when something is unsafe."""
    findings = list(_findings(config))
    if as_json:
        emit([msgspec.to_builtins(finding) for finding in findings])
    else:
        marks = {"unsafe": "[red]✗ unsafe[/]", "note": "[yellow]! note[/]", "ok": "[green]✓[/]"}
        for finding in findings:
            say(f"{marks[finding.severity]} {quiet(finding.what)}" + (f" — {quiet(finding.mend)}" if finding.mend else ""))
    if any(finding.severity == "unsafe" for finding in findings):
        raise typer.Exit(REFUSED)


def _findings(config: Path) -> Iterator[Finding]:
    try:
        loaded = configuration(config)
    except ConfigError as problem:
        yield Finding("unsafe", problem.cause, problem.mend)
        return
    yield Finding("ok", f"configuration {loaded.digest[:19]}… is complete")
    yield from _secrets(loaded)
    yield from _trust(loaded)
    yield from _collateral(loaded)
    yield from _exposure(loaded)
    yield from _process(loaded)


def _secrets(loaded: Loaded) -> Iterator[Finding]:
    sources = loaded.settings.secrets
    for source in (sources.pepper, sources.row_key, sources.receipt_key):
        try:
            key_bytes(loaded.secret(source), source)
        except ConfigError as problem:
            yield Finding("unsafe", problem.cause, problem.mend)
        else:
            yield Finding("ok", f"secret {source} can be read, by its owner alone")


def _trust(loaded: Loaded) -> Iterator[Finding]:
    settings = loaded.settings
    if settings.gateway.floor is Level.TEE:
        yield Finding("ok", "the trust floor is tee")
    else:
        yield Finding("note", f"the trust floor is {settings.gateway.floor}: keys may be served without hardware attestation", 'floor = "tee"')
    today = datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date()  # of notes only: a wrong clock is a finding of its own
    for policy in settings.policies.values():
        for what, mend in policy_notes(policy, today):
            yield Finding("note", what, mend)
    if settings.evidence.quote_source == "none":
        yield Finding(
            "note", "this gateway does not attest itself: its callers can't verify it", 'evidence.quote_source = "dstack:…" inside a TDX guest'
        )
    if not settings.models:
        yield Finding("note", "no models are configured", "add [models.…]")


def _collateral(loaded: Loaded) -> Iterator[Finding]:
    if not loaded.settings.collateral.offline:
        return
    shelf, now = shelf_of(loaded, read_only=True), int(time.time())
    ends = [copy.term.end for copy in shelf.all(now)] if shelf is not None else []
    holding = [end for end in ends if now < end]
    if not holding:
        yield Finding("unsafe", "collateral.offline is set, and nothing stored holds: no machine can be verified", "ollm collateral import FILE")
    elif min(holding) - now < _SOON:
        yield Finding("note", f"stored collateral ends within {(min(holding) - now) // 3600 + 1} hours", "ollm collateral import FILE")
    else:
        yield Finding("ok", f"{len(holding)} pieces of collateral are stored, and hold for at least {(min(holding) - now) // 86400} days")


def _exposure(loaded: Loaded) -> Iterator[Finding]:
    gateway = loaded.settings.gateway
    host, _ = listen_address(gateway.listen)
    if gateway.tls_certificate is None and not is_loopback(host):
        yield Finding(
            "unsafe", f"it listens on {gateway.listen} without TLS: prompts would cross the network in the clear", "set gateway.tls_certificate"
        )
    else:
        yield Finding("ok", f"it listens on {gateway.listen}")


def _process(loaded: Loaded) -> Iterator[Finding]:
    try:
        SystemClock()
    except ConfigError as problem:
        yield Finding("unsafe", problem.cause, problem.mend)
    else:
        yield Finding("ok", "the clock is after this release's day")
    try:
        directory = data_directory(loaded)
    except ConfigError as problem:
        yield Finding("unsafe", problem.cause, problem.mend)
    else:
        yield Finding("ok", f"data directory {directory} is ours alone")
    if os.geteuid() == 0:
        yield Finding("note", "it runs as root", "run it as a user of its own")
    if any(Path("/proc/swaps").read_text().splitlines()[1:]) if Path("/proc/swaps").exists() else False:
        yield Finding("note", "swap is on: memory with prompts can reach the disk", "swapoff, or MemorySwapMax=0 for the service")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < 4096:
        yield Finding("note", f"only {files} open files are allowed", "ulimit -n 65536")
    strays = [path.name for entry in sys.path if entry.endswith("site-packages") for path in Path(entry).glob("*.pth")]
    unknown = [name for name in strays if not name.startswith(("_", "ollm", "distutils-precedence"))]
    if unknown:
        yield Finding("note", f"files that run code at every start of Python: {', '.join(unknown)}", "check where they come from")
