"""`ollm serve` and `ollm init`: the gateway as a process, and its first configuration."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ollm.app.initialise import initialise
from ollm.app.workers import Started
from ollm.app.workers import run as run_gateway
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.output import emit, quiet, say
from ollm.cli.template import CONFIG
from ollm.config.load import load


@one_line
def init(
    directory: Annotated[Path, typer.Argument(help="Where ollm.toml and secrets/ go.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a commented ollm.toml and fresh secrets. Nothing that exists is overwritten.

    Next: name an upstream and its policy in ollm.toml, then `ollm keys create NAME` and `ollm serve`.
    """
    path = initialise(directory, CONFIG)
    if as_json:
        emit({"config": str(path)})
        return
    say(f"Wrote [bold]{quiet(str(path))}[/] and {quiet(str(path.parent / 'secrets'))}.")
    say("Next: name an upstream and its policy in it, then `ollm keys create NAME`, then `ollm serve`.")
    say("To look first: `ollm demo` runs the whole way with simulated hardware.")


@one_line
def serve(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; running requests are finished first. SIGHUP reads the configuration again.

    Example: ollm serve -c /etc/ollm/ollm.toml
    """
    loaded = configuration(config)
    settings = loaded.settings.gateway

    def announce(started: Started) -> None:
        url = f"{'https' if settings.tls_certificate else 'http'}://{settings.listen.rpartition(':')[0]}:{started.port}"
        if as_json:
            emit({"url": url, "config_digest": started.config_digest, "keyset_digest": started.keyset_digest})
        else:
            say(f"ollm serves {url}/v1 (configuration {started.config_digest[:19]}…)")

    run_gateway(loaded, announce, partial(load, config))
