"""`ollm verify evidence`: judge evidence that lies in files, now or as it would have been judged at another time."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ollm.app.collateral import sigstore_root
from ollm.app.evidence import Question, file_endorser, judge
from ollm.attest import ear
from ollm.attest.checks import unjudged
from ollm.attest.evidence import Expected, MachineEvidence
from ollm.attest.recognise import MAX_FILE
from ollm.cli.common import DEFAULT_CONFIG, AtOption, ConfigOption, JsonOption, configuration, moment, one_line, run
from ollm.cli.output import REFUSED, appraisal_document, emit, quiet, say, show_appraisal
from ollm.client.evidence import Explanations, gather
from ollm.config.policy_file import read_document, read_limited
from ollm.config.settings import CollateralSettings
from ollm.errors import ConfigError, EvidenceRefused
from ollm.net.provenance import MAX_BUNDLE, embedded_trust_root
from ollm.upstream.statements import verified_statement
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import VerifiedStatement

_REPORT_DATA = 64  # bytes
_MAX_NONCE = 512  # the longest that any technology has room for; in TDX, SEV-SNP and NVIDIA's devices it is 32


@one_line
def evidence(
    files: Annotated[list[Path], typer.Argument(help="Quote, report, document, device evidence or tokens of one machine, as they were received.")],
    *,
    policy: Annotated[str, typer.Option("--policy", help="A policy file, or the name of a policy in the configuration.")],
    collateral: Annotated[
        Path | None,
        typer.Option("--collateral", help="Use what this directory or exported archive holds, and nothing else. Default: ask the vendors."),
    ] = None,
    at: AtOption = None,
    nonce: Annotated[str | None, typer.Option("--nonce", help="The nonce that the machine was asked with, in hex.")] = None,
    report_data: Annotated[
        str | None, typer.Option("--report-data", help="What the CPU's report data must begin with, in hex: what binds it to a channel.")
    ] = None,
    binding_at: Annotated[
        int, typer.Option("--binding-at", min=0, max=32, help="Where in the report data the 32 bytes stand that commit to the devices.")
    ] = 32,
    event_log: Annotated[Path | None, typer.Option("--event-log", help="dstack's event log, where it is not in the quote's file.")] = None,
    app_compose: Annotated[Path | None, typer.Option("--app-compose", help="The app-compose file, where it is not in the quote's file.")] = None,
    provenance: Annotated[
        list[Path] | None, typer.Option("--provenance", help="A Sigstore bundle or a signed file of reference values; any number of them.")
    ] = None,
    nras_keys: Annotated[Path | None, typer.Option("--nras-keys", help="Keys of NVIDIA's attestation service (a JWK set) at that time.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Judge a machine's evidence from files: CPU, devices and provenance as one. Exit code 0: trusted, 1: refused, 2: could not be judged.

    Example: ollm verify evidence quote.json gpus.json --policy policies/near.toml --collateral collateral.tar --at 2026-11-01 --nonce 4f…
    """
    chosen, sources = _policy(policy, config)
    now = moment(at)
    asked = Expected(
        report_data=None if report_data is None else _hex(report_data, "--report-data", _REPORT_DATA),
        nonce=None if nonce is None else _hex(nonce, "--nonce", _MAX_NONCE),
        device_nonce=None if nonce is None else _hex(nonce, "--nonce", _MAX_NONCE),
        device_binding_at=binding_at,
    )
    hints: tuple[bytes, ...] = ()
    try:
        explained = Explanations(event_log=_text(event_log), app_compose=_text(app_compose))
        gathered = gather([(str(file), read_limited(file, MAX_FILE)) for file in files], explained)
        hints = gathered.nonce_hints
        question = Question(
            policy=chosen,
            now=now,
            expected=asked,
            statements=tuple(_statement(file, chosen, config, now) for file in provenance or ()),
            jwks=None if nras_keys is None else read_limited(nras_keys, MAX_FILE),
        )
        appraisal = run(_judged(gathered.machine, question, sources, collateral))
    except EvidenceRefused as refusal:
        appraisal = unjudged(chosen, refusal)

    if as_json:
        emit({**appraisal_document(appraisal), "at": now, "ear": ear.result(appraisal, now=now, build=f"ollm {version('ollm')}", nonce=nonce)})
    else:
        show_appraisal(appraisal)
        _show_unasked(asked, hints)
    if not appraisal.accepted:
        raise typer.Exit(REFUSED)


async def _judged(machine: MachineEvidence, question: Question, sources: CollateralSettings, kept: Path | None) -> Appraisal:
    async with file_endorser(sources, question.now, kept=kept, jwks=question.jwks) as endorser:
        return await judge(machine, endorser, question)


def _policy(name: str, config: Path) -> tuple[AttestationPolicy, CollateralSettings]:
    """The policy, and where the configuration says to get collateral; a policy file needs no configuration. Raises: ConfigError."""
    file = Path(name)
    if file.is_file():
        document = read_document(file)
        document.check_usable()
        return document.policy, configuration(config).settings.collateral if config.exists() else CollateralSettings()
    loaded = configuration(config)
    found = loaded.settings.policies.get(name)
    if found is None:
        raise ConfigError(
            f"{name} is neither a file nor a policy of the configuration", f"configured: {', '.join(loaded.settings.policies) or 'none'}"
        )
    return found, loaded.settings.collateral


def _statement(file: Path, policy: AttestationPolicy, config: Path, now: int) -> VerifiedStatement:
    """What was signed in `file`: a signed file of reference values, or a Sigstore bundle. Raises: EvidenceRefused, ConfigError."""

    def root() -> bytes:
        return sigstore_root(configuration(config), now) if config.exists() else embedded_trust_root()

    return verified_statement(read_limited(file, MAX_BUNDLE), policy, root)


def _show_unasked(expected: Expected, hints: tuple[bytes, ...]) -> None:
    """What the verdict does not cover, because nobody asked."""
    if expected.nonce is None:
        hint = f" The files call {hints[0].hex()} their nonce: give it with --nonce if you sent it." if hints else ""
        say(f"  [yellow]No nonce was given: the evidence may be of any time that its collateral allows.[/]{quiet(hint)}")
    if expected.report_data is None:
        say("  [yellow]No report data was given: nothing says which channel ends at this machine.[/]")


def _hex(text: str, option: str, limit: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if not 0 < len(data) <= limit:
        raise ConfigError(f"{option} is not hex of at most {limit} bytes", "write pairs of hexadecimal characters")
    return data


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return read_limited(file, MAX_FILE).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8", "give it as it was received") from None
