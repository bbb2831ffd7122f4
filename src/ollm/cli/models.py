"""`ollm models`: what can be called, at what trust level, verified when."""

import time
from typing import Any

from ollm.app.build import level_of, provider_session
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import emit, quiet, say
from ollm.config.load import Loaded
from ollm.upstream.session import Unverified


@one_line
def models(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the configured models; each upstream's machine is verified now, by this command, as a request would have it verified.

    A running gateway tells what it holds itself at GET /v1/models.
    """
    loaded = configuration(config)
    states = run(_verify_all(loaded))
    rows = [
        {"model": name, "upstream": upstream, "level": str(level_of(loaded, upstream)), **states[upstream]}
        for name, model in loaded.settings.models.items()
        for upstream in model.upstreams
    ]
    if as_json:
        emit(rows)
        return
    for row in rows:
        say(f"{quiet(row['model']):<32} {quiet(row['upstream']):<16} {row['level']:<10} {_verdict(row)}")
    if not rows:
        say(quiet('No models yet. Add [models."NAME"] to the configuration.'))


async def _verify_all(loaded: Loaded) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name, upstream in loaded.settings.upstreams.items():
        if upstream.policy is None:
            states[name] = {"verified": False, "expires_at": None, "session_id": None, "reason": None}
            continue
        try:
            async with provider_session(loaded, name) as session:
                states[name] = {"verified": True, "expires_at": session.expires_at, "session_id": session.session_id, "reason": None}
        except Unverified as refusal:
            states[name] = {"verified": False, "expires_at": None, "session_id": None, "reason": refusal.reason}
    return states


def _verdict(row: dict[str, Any]) -> str:
    if row["verified"]:
        return f"[green]verified[/] until {_time(row['expires_at'])}"
    if row["reason"] is None:
        return "[yellow]not attested[/]: its provider has no evidence"
    return f"[red]refused[/] {quiet(str(row['reason']))}"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
