"""`ollm sim`: machines whose hardware is software."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from ollm.cli.common import JsonOption, one_line
from ollm.cli.output import emit, quiet, say
from ollm.serving import last_resort
from ollm.sim.breaks import BREAKS
from ollm.sim.service import SimEnclave, SimOptions
from ollm.sim.service import run as run_enclave

app = typer.Typer(
    no_args_is_help=True, help="Simulated hardware, for development and tests. It proves nothing about privacy, and everything says so."
)

_KINDS = "\n\n".join(f"{kind}: {broken.description}" for kind, broken in BREAKS.items())


@app.callback()
def _sim() -> None:
    """Keeps `enclave` a verb of its own."""


@app.command(epilog=f"Kinds for --break:\n\n{_KINDS}")
@one_line
def enclave(
    state: Annotated[
        Path | None, typer.Option(help="Directory that keeps the simulated root, so that its pin stays. None: a new root each time.")
    ] = None,
    port: Annotated[int, typer.Option(help="HTTPS port of the service; 0 is any free one.")] = 0,
    pcs_port: Annotated[int, typer.Option(help="Port of the simulated collateral service (plain HTTP); 0 is any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    machine: Annotated[str, typer.Option(help="Name of the simulated hardware.")] = "machine-1",
    upstream: Annotated[str | None, typer.Option(help="OpenAI-compatible server to put behind it, such as http://127.0.0.1:8000/v1.")] = None,
    allow_plaintext: Annotated[bool, typer.Option("--allow-plaintext", help="Also accept bodies that are not sealed.")] = False,
    attest_only: Annotated[bool, typer.Option("--attest-only", help="Only attest another TLS server, whose key and certificate follow.")] = False,
    tls_key: Annotated[Path | None, typer.Option(help="With --attest-only: that server's private key, PEM.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="With --attest-only: that server's certificate, PEM.")] = None,
    agent_socket: Annotated[Path | None, typer.Option(help="Also serve a dstack guest agent here, so that a gateway can attest itself.")] = None,
    broken: Annotated[str | None, typer.Option("--break", help="Be an adversary of this kind; see below.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a simulated enclave: an ACI/1 service with true-format TDX evidence under a root of its own.

    Prints the policy that admits it, to be pasted into ollm.toml.
    Example: ollm sim enclave --state sim --upstream http://127.0.0.1:8000/v1
    """
    options = SimOptions(
        state_dir=state,
        host=host,
        port=port,
        pcs_port=pcs_port,
        machine=machine,
        upstream=upstream,
        allow_plaintext=allow_plaintext,
        attest_only=attest_only,
        tls_key=tls_key,
        tls_cert=tls_cert,
        agent_socket=agent_socket,
        broken=broken,
    )

    def announce(running: SimEnclave) -> None:
        if as_json:
            emit({"url": running.url, "pcs_url": running.pcs_url, "root_crl_url": running.root_crl_url, "policy": running.policy_toml})
            return
        say(f"[yellow]Simulated[/] enclave at [bold]{running.url}[/]; collateral at {running.pcs_url}. For ollm.toml:\n")
        say(quiet(running.policy_toml))
        say(quiet(f'[upstreams.simulated]\nurl = "{running.url}"\npolicy = "{running.policy.name}"'))
        say(quiet(f'pcs_url = "{running.pcs_url}"\nroot_crl_url = "{running.root_crl_url}"'))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        last_resort.install(runner.get_loop())
        runner.run(run_enclave(options, announce))
