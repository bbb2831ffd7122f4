"""The command line. Every verb explains itself with --help, and answers programs with --json."""

import os

import typer

from ollm.cli import accounts, audit, collateral, db, keys, logs, policy, projects, rules, sim, users, verify
from ollm.cli.apply import admin, apply
from ollm.cli.catalogue import catalogue
from ollm.cli.demo import demo
from ollm.cli.doctor import doctor
from ollm.cli.models import models
from ollm.cli.serve import init, serve
from ollm.cli.usage import usage

app = typer.Typer(
    name="ollm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and those can hold prompts
    help="OLLM, a confidential AI gateway: the OpenAI API in, hardware attestation verified before a prompt leaves, a signed receipt out.",
)
app.command()(demo)
app.command()(init)
app.command()(serve)
app.command()(admin)
app.command()(apply)
app.command()(usage)
app.command()(models)
app.command()(catalogue)
app.command()(doctor)
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(accounts.app, name="accounts")
app.add_typer(users.app, name="users")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(verify.app, name="verify")
app.add_typer(policy.app, name="policy")
app.add_typer(rules.app, name="rules")
app.add_typer(collateral.app, name="collateral")
app.add_typer(sim.app, name="sim")


def main() -> None:
    """Entry point of the `ollm` script."""
    logs.configure(os.environ.get("OLLM_LOG"))
    app()
