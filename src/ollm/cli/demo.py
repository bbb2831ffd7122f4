"""`ollm demo`: one verified chat and one refused one, told step by step."""

import asyncio
import json
import logging
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from ollm.app.build import endorser_of
from ollm.app.demo import BROKEN_MODEL, MODEL, Stage, stage
from ollm.cli.client import CLIENT_NAME, Chat, refused_chat, streamed_chat
from ollm.cli.common import JsonOption, one_line
from ollm.cli.output import appraisal_document, console, emit, quiet, say, short, show_checks
from ollm.client.verify import appraise_session, check_receipt, verify_gateway
from ollm.errors import ConfigError
from ollm.net.fetch import HttpFetch
from ollm.upstream.session import VerifiedSession
from ollm.values.checks import Check
from ollm.values.hexes import hex32
from ollm.values.ledger import Entry

PROMPT = "Summarise in one sentence: the patient, J. Doe, is allergic to penicillin and was given amoxicillin on Monday."


@one_line
def demo(
    as_json: JsonOption = False,
    upstream: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server (http://127.0.0.1:8000/v1) to put behind the enclave, instead of the built-in responder."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving afterwards, and print how to call the gateway.")] = False,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 is any free one.")] = 0,
) -> None:
    """Run the whole way once: machine verified, prompt sealed, answer streamed, ledger, receipt; then a machine that is refused.

    No account and no hardware are needed: the enclaves are simulated, everything else is the product itself.
    """
    logging.getLogger("ollm.serve").setLevel(logging.ERROR)  # it would tell of the refused enclave before the story does
    with tempfile.TemporaryDirectory(prefix="ollm-demo-") as directory, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_demo(Path(directory), as_json=as_json, upstream=upstream, keep=keep, port=port))


async def _demo(directory: Path, *, as_json: bool, upstream: str | None, keep: bool, port: int) -> None:
    console.quiet = as_json
    async with stage(directory, port=port, upstream=upstream) as play:
        story = await _story(play)
        console.quiet = False
        if as_json:
            emit(story)
        if keep:
            say(f"\n[bold]The gateway goes on serving[/] at {play.url}/v1 — Ctrl-C ends it. Its files: {quiet(str(directory))}")
            say(f'  export OPENAI_BASE_URL={play.url}/v1 OPENAI_API_KEY={play.api_key}   # model "{MODEL}"')
            ended = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)  # Ctrl-C cancels; both leave nothing behind
            await ended.wait()
    if not as_json and not keep:
        say("[dim]Nothing of this run is left on the disk. Next: docs/tutorial/first-chat.md, or `ollm demo --keep` to call it yourself.[/]")


async def _story(play: Stage) -> dict[str, Any]:
    say("[bold]OLLM demo[/]: a gateway, a client and two enclaves on this machine. The hardware is [yellow]simulated[/]; the rest is the product.\n")
    machine = await _verify_machine(play)
    chat = await _chat(play)
    entry = await _kept(play, chat)
    receipt = await _receipt(play, chat)
    refusal = await _refused(play)
    return {"machine": machine, "answer": chat.text, "ledger": entry, "receipt": receipt, "refusal": refusal}


async def _verify_machine(play: Stage) -> dict[str, Any]:
    say("[bold]1. The machine is verified[/], before there is any prompt: evidence over a fresh nonce, judged under policy 'enclave'")
    try:
        session = await play.gateway.keepers["enclave"].session(play.gateway.settings.gateway.timeouts.verify)
    except TimeoutError:
        raise ConfigError("the demo's enclave was not verified in time", "try again when this machine has less to do") from None
    if not isinstance(session, VerifiedSession):
        raise ConfigError("the demo's enclave was not verified")
    show_checks(session.appraisal.checks)
    say(f"   Session {session.session_id[:16]}… holds for {session.expires_at - session.established_at} s. Level: [yellow]{session.level}[/]")
    say("   (on Intel TDX hardware, under Intel's root, the same checks would make it [green]tee[/]).\n")
    return {"session_id": session.session_id, **appraisal_document(session.appraisal)}


async def _chat(play: Stage) -> Chat:
    say("[bold]2. The prompt is sealed[/] to the key in that evidence and sent over a connection to the attested TLS key.")
    say(f"   Client: {CLIENT_NAME}, changed only in base_url and api_key. Prompt: [italic]{quiet(short(PROMPT, 70))}[/]")
    say("[bold]3. The answer streams[/]:")
    before = play.enclave.counters.prompt_bytes
    console.print("   ", end="")
    chat = await asyncio.to_thread(
        streamed_chat, play.url, play.api_key, MODEL, PROMPT, lambda piece: console.print(quiet(piece.replace("\n", "\n   ")), end="")
    )
    say(f"\n   The enclave received {play.enclave.counters.prompt_bytes - before} sealed bytes; nothing else could read them.\n")
    return chat


async def _kept(play: Stage, chat: Chat) -> dict[str, Any]:
    say("[bold]4. What the gateway kept[/]: one ledger row, without content")
    entry = await play.gateway.ledger.find(chat.receipt_id.removeprefix("rcpt_"))
    if entry is None:
        raise typer.Exit(1)
    row = _row(entry)
    for name, value in row.items():
        say(f"   {name:<14} [dim]{quiet(str(value))}[/]")
    say()
    return row


def _row(entry: Entry) -> dict[str, Any]:
    usage = entry.usage
    return {
        "request": f"req_{entry.request_id}",
        "key": entry.key_id,
        "model": entry.model,
        "upstream": f"{entry.upstream} ({entry.level})",
        "status": f"{entry.status}, HTTP {entry.http_status}",
        "tokens": f"{usage.prompt_tokens - usage.cached_tokens} in, {usage.cached_tokens} cached, {usage.completion_tokens} out",
        "cost": f"{entry.cost_micro} micro-units (prices: {entry.price_version})",
        "latency": f"first byte {entry.first_us / 1000:.1f} ms, total {entry.total_us / 1000:.1f} ms",
    }


async def _receipt(play: Stage, chat: Chat) -> dict[str, Any]:
    say("[bold]5. The receipt[/], fetched with the same key and checked as a third party would: nothing the gateway says is taken on trust")
    fetch = HttpFetch()
    try:
        policy = play.loaded.settings.policies["gateway"]
        clock = play.gateway.clock
        verdict = await verify_gateway(fetch, endorser_of(play.loaded, "gateway", fetch, clock), clock, play.url, policy)
        if verdict.keyset is None or verdict.keyset_digest is None:
            show_checks(verdict.appraisal.checks)
            raise typer.Exit(1)
        answer = await fetch.get(f"{play.url}/v1/aci/receipts/{chat.receipt_id}", authorization=f"Bearer {play.api_key}")
        session_id = hex32(_session_id(answer.body))
        session = await fetch.get(f"{play.url}/v1/aci/sessions/{session_id}")
    finally:
        await fetch.close()
    gateway_checks = len(verdict.appraisal.checks)
    say(f"   [green]✓[/] the gateway's own evidence: {gateway_checks} checks under policy 'gateway'; it binds the receipt key and configuration")
    found, checks = check_receipt(
        answer.body, verdict.keyset, verdict.keyset_digest, request=chat.request, response=chat.response, sessions={session_id: session.body}
    )
    show_checks(checks)
    _, again, _ = appraise_session(session_id, session.body, play.loaded.settings.policies["enclave"])
    say(f"   [green]✓[/] the session's evidence, judged again from its own bytes: {'accepted' if again.accepted else 'refused'}")
    for event in (found or {}).get("event_log", []):
        facts = ", ".join(f"{name} {short(str(value), 30)}" for name, value in event.items() if name != "type")
        say(f"     {event['type']:<20} [dim]{quiet(facts)}[/]")
    if found is None or not again.accepted:
        raise typer.Exit(1)
    say()
    return {"verified": True, "checks": [_names(check) for check in checks], "document": found}


async def _refused(play: Stage) -> dict[str, Any]:
    say("[bold]6. A machine that is not to be trusted[/]: the same request, to an enclave with its debug bit set")
    before = play.broken.counters.prompt_bytes
    error = await asyncio.to_thread(refused_chat, play.url, play.api_key, BROKEN_MODEL, PROMPT)
    arrived = play.broken.counters.prompt_bytes - before
    state = play.gateway.keepers["debug-enclave"].state()
    if state.appraisal is not None:
        show_checks(tuple(check for check in state.appraisal.checks if str(check.outcome) == "failed"))
    say(f"   The client got HTTP {error.status}: [red]{quiet(error.message)}[/]")
    say(f"   Prompt bytes that reached the enclave: [bold]{arrived}[/]. The refusal has a receipt too: {error.receipt_id}\n")
    if arrived or error.status != 503:
        raise typer.Exit(1)
    return {"status": error.status, "message": error.message, "receipt_id": error.receipt_id, "prompt_bytes_at_enclave": arrived}


def _session_id(receipt: bytes) -> str:
    log = json.loads(receipt)["event_log"]
    return str(next(event["session_id"] for event in log if "session_id" in event))


def _names(check: Check) -> dict[str, str]:
    return {"name": check.name, "outcome": str(check.outcome)}
