"""`ollm policy`: what a policy accepts and leaves open, in words; a draft of one from evidence; the lines that put a file to use."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from ollm.cli.common import AtOption, JsonOption, moment, one_line
from ollm.cli.output import emit, quiet, say
from ollm.config.draft.document import draft
from ollm.config.draft.reading import MAX_FILE, explained, sources_of
from ollm.config.explain.document import explain as explanation_of
from ollm.config.load import load
from ollm.config.policy_file import PolicyDocument, read_document, read_limited, toml_table
from ollm.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="Policies: which machines, running which software, may read a prompt. Explain one, draft one from evidence, put one to use.",
)

FileArgument = Annotated[Path, typer.Argument(help="A policy file, or a configuration with --policy.")]


@app.command()
@one_line
def explain(
    file: FileArgument,
    policy: Annotated[str | None, typer.Option("--policy", help="Name of the policy, where FILE is a configuration that has several.")] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in words what a policy accepts, what it leaves open (worst first), and what no policy can reach. Works on drafts too.

    Example: ollm policy explain policies/near.toml
    """
    document = _document(file, policy)
    explanation = explanation_of(document.policy, _day(at))
    if as_json:
        emit({**explanation.document(), "digest": document.digest, "draft": document.draft})
        return
    if document.draft:
        say("[yellow]A draft that nobody has reviewed: no gateway takes it.[/]\n")
    for line in explanation.lines():
        say(quiet(line))


@app.command()
@one_line
def pin(
    file: Annotated[Path, typer.Argument(help="A policy file.")],
    as_json: JsonOption = False,
) -> None:
    """Check a policy file as a gateway would, and print the lines that put it into ollm.toml, with its digest.

    Example: ollm policy pin policies/near.toml
    """
    document = read_document(file)
    document.check_usable()
    digest = document.digest.removeprefix("sha256:")
    if as_json:
        emit({"policy": document.policy.name, "file": str(file), "sha256": digest})
        return
    say(quiet(f'[policies.{document.policy.name}]\nfile = "{file}"   # relative to ollm.toml\nsha256 = "{digest}"'))


@app.command(name="from-evidence")
@one_line
def from_evidence(
    files: Annotated[
        list[Path], typer.Argument(help="Evidence: quotes, reports, documents, tokens, or JSON that holds them; as bytes, hex or base64.")
    ],
    event_log: Annotated[Path | None, typer.Option("--event-log", help="dstack's event log, where it is not in the quote's file.")] = None,
    app_compose: Annotated[Path | None, typer.Option("--app-compose", help="The app-compose file, where it is not in the quote's file.")] = None,
    name: Annotated[str, typer.Option("--name", help="What to call the policy and its reference values.")] = "draft",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft a policy file that would admit the machines of some evidence. Nothing is verified, and no gateway takes a draft.

    A person checks each value and says so in the file; the draft says how.
    Example: ollm policy from-evidence quote.bin --name near > policies/near.toml
    """
    sources = [source for file in files for source in sources_of(file.name, read_limited(file, MAX_FILE))]
    text = draft(explained(sources, event_log=_text(event_log), app_compose=_text(app_compose)), name=name, today=_day(at))
    if as_json:
        emit({"policy": name, "draft": text})
        return
    typer.echo(text, nl=False)


def _document(file: Path, policy: str | None) -> PolicyDocument:
    """The policy in `file`: a policy file, or the policy `policy` of a configuration. Raises: ConfigError."""
    if "policies" not in toml_table(read_limited(file), str(file)):
        if policy is not None:
            raise ConfigError(f"{file} is not a configuration: it has no policies to choose from", "leave --policy out, or name ollm.toml")
        return read_document(file)
    loaded = load(file)
    configured = loaded.settings.policies
    names = ", ".join(configured)
    if policy is None and len(configured) > 1:
        raise ConfigError(f"{file} has several policies", f"choose with --policy: {names}")
    chosen = configured.get(policy) if policy is not None else next(iter(configured.values()), None)
    if chosen is None:
        raise ConfigError(f"{file} has no policy {policy!a}", f"configured: {names or 'none'}")
    return PolicyDocument(chosen, loaded.digest, draft=False)


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return read_limited(file, MAX_FILE).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8", "give it as it was received") from None


def _day(at: str | None) -> datetime.date:
    try:
        return datetime.datetime.fromtimestamp(moment(at), datetime.UTC).date()
    except (ValueError, OverflowError, OSError):
        raise ConfigError("this time is beyond the calendar", "give one before the year 10000") from None
