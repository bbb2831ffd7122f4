"""`ollm verify`: judge evidence, receipts and sessions. Exit code 0: trusted. 1: refused. 2: could not be judged."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ollm.app import recording
from ollm.app.build import endorser_of, provider_session
from ollm.app.collateral import trust_root
from ollm.cli import audit, evidence
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, moment, one_line, run, time_of
from ollm.cli.output import REFUSED, appraisal_document, check_document, emit, fail, quiet, say, show_appraisal, show_checks
from ollm.client.verify import GatewayVerdict, appraise_session, check_receipt, keyset_of_report, session_id_of, verify_gateway
from ollm.config.load import Loaded, read_secret
from ollm.errors import ConfigError, UpstreamError, WireError
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from ollm.net.tape import open_tape
from ollm.receipts.receipt import VERIFIED
from ollm.upstream.session import Unverified
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.hexes import Hex32, hex32
from ollm.values.policy import AttestationPolicy

app = typer.Typer(
    no_args_is_help=True,
    help="Verify a provider's machine, the gateway, a receipt, a session or the audit log. Exit code 0: trusted, 1: refused, 2: could not be judged.",
)

app.command()(evidence.evidence)
app.command("audit")(audit.verify_audit)

GatewayOption = Annotated[str, typer.Option("--gateway", help="Base URL of the gateway, without /v1.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="Name of the policy in the configuration to judge under.")]
KeyOption = Annotated[str, typer.Option("--key", help="Where the API key is that made the request: env:NAME or file:PATH.")]


@app.command()
@one_line
def provider(
    name: Annotated[str, typer.Argument(help="An upstream of the configuration.")],
    keep: Annotated[Path | None, typer.Option("--record", help="Keep every exchange of the verification in this folder, which must be new.")] = None,
    tape: Annotated[Path | None, typer.Option("--replay", help="Repeat the verification recorded in this folder, without a network.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="With --replay: the time to judge at. Default: the recording's.")] = None,
    nonce: Annotated[str | None, typer.Option("--nonce", help="With --replay: the nonce that was sent, in hex. Default: the recording's.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Ask an upstream for evidence now, and judge it as a request would have it judged; or judge a recorded answer again.

    Example: ollm verify provider near --record near-2026-12-01
    """
    loaded = configuration(config)
    if name not in loaded.settings.upstreams:
        raise ConfigError(f"there is no upstream {name!r} in the configuration", f"configured: {', '.join(loaded.settings.upstreams) or 'none'}")
    if keep is not None and tape is not None:
        raise ConfigError("--record and --replay contradict each other", "give one of them")
    if tape is None and (at is not None or nonce is not None):
        raise ConfigError("--at and --nonce are for --replay", "a verification now is made now, over a nonce of its own")
    if keep is not None:
        _recorded(run(recording.record(loaded, name, keep)), {"upstream": name, "recording": str(keep)}, as_json)
        return
    if tape is not None:
        moment_of, sent = moment(at) if at is not None else None, _nonce(nonce) if nonce is not None else None
        found = run(recording.replay(loaded, name, open_tape(tape), at=moment_of, nonce=sent))
        _recorded(found, {"upstream": name, "replayed": str(tape)}, as_json)
        return

    async def work() -> tuple[Appraisal, str | None]:
        try:
            async with provider_session(loaded, name) as session:
                return session.appraisal, session.session_id
        except Unverified as refusal:
            return refusal.appraisal, None

    appraisal, session_id = run(work())
    _report(appraisal, {"upstream": name, "session_id": session_id}, as_json)


def _recorded(found: recording.Verdict, more: dict[str, Any], as_json: bool) -> None:
    _report(found.appraisal, {**more, "nonce": found.nonce, "judged_at": time_of(found.at)}, as_json)


def _nonce(text: str) -> Hex32:
    try:
        return hex32(text)
    except WireError:
        raise ConfigError("--nonce is no nonce", "give the 64 lowercase hexadecimal characters that were sent") from None


@app.command()
@one_line
def gateway(
    url: Annotated[str, typer.Argument(help="Base URL of the gateway, without /v1.")],
    policy: PolicyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Judge a gateway's own evidence: which software runs it, under which configuration, with which receipt key.

    Over plain HTTP the receipt key is established, the channel is not; the checks say so.
    Example: ollm verify gateway https://gateway.example.com --policy gateway
    """
    verdict = run(_gateway_verdict(configuration(config), url, policy))
    _report(verdict.appraisal, {"keyset_digest": verdict.keyset_digest, "config_digest": verdict.config_digest}, as_json)


@app.command()
@one_line
def receipt(
    name: Annotated[str, typer.Argument(help="A receipt id (rcpt_…), or a file that holds the receipt.")],
    gateway_url: GatewayOption = "",
    key: KeyOption = "env:OLLM_API_KEY",
    policy: PolicyOption = None,
    keyset: Annotated[Path | None, typer.Option(help="A report or keyset that you established before, instead of asking the gateway now.")] = None,
    request: Annotated[Path | None, typer.Option(help="File with the exact request body that was sent.")] = None,
    response: Annotated[Path | None, typer.Option(help="File with the exact response body that was received.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check a receipt: its signature under an attested key, your bytes against its hashes, the session that it cites.

    Example: ollm verify receipt rcpt_… --gateway http://127.0.0.1:8400 --policy gateway --request body.json
    """
    if keyset is None:
        configuration(config)  # a missing configuration is the first thing to mend
    if keyset is None and (not gateway_url or policy is None):
        raise ConfigError("nothing says which receipt key to trust", "give --gateway and --policy, or --keyset with a keyset that you established")

    async def work() -> tuple[dict[str, Any] | None, tuple[Check, ...]]:
        checks: tuple[Check, ...] = ()
        if keyset is not None:
            trusted, digest = keyset_of_report(_read(keyset))
        else:  # only here: an auditor who has a keyset checks a receipt with nothing but files
            verdict = await _gateway_verdict(configuration(config), gateway_url, policy)
            checks = verdict.appraisal.checks
            if verdict.keyset is None or verdict.keyset_digest is None:
                return None, checks
            trusted, digest = verdict.keyset, verdict.keyset_digest
        document = await _document(name, gateway_url, config.resolve().parent, key)
        sent, received = _maybe(request), _maybe(response)
        found, more = check_receipt(document, trusted, digest, request=sent, response=received, sessions={})
        if found is not None and gateway_url:  # only a receipt that holds is worth asking for what it cites
            sessions = await _cited(found, gateway_url)
            found, more = check_receipt(document, trusted, digest, request=sent, response=received, sessions=sessions)
        return found, (*checks, *more)

    found, checks = run(work())
    if as_json:
        emit({"accepted": found is not None, "checks": [check_document(check) for check in checks], "receipt": found})
    else:
        show_checks(checks)
        if found is not None:
            _show_receipt(found)
    _end(found is not None)


@app.command()
@one_line
def session(
    name: Annotated[str, typer.Argument(help="A session id (64 hex), or a file that holds the session.")],
    policy: Annotated[str, typer.Option("--policy", help="Name of the policy in the configuration to judge under.")],
    gateway_url: GatewayOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Judge a session's evidence again, from the bytes it carries, at the time it was established.

    Example: ollm verify session 3f… --gateway http://127.0.0.1:8400 --policy example
    """
    loaded = configuration(config)
    path = Path(name)
    if path.is_file():
        document = _read(path)
        session_id = session_id_of(document)
    else:
        session_id = _session_id(name)
        document = run(_session(gateway_url, session_id))
    accepted = _policy(loaded, policy)
    root = trust_root(loaded, accepted, SystemClock().now())
    _report(_session_appraisal(session_id, document, accepted, root), {"session_id": session_id}, as_json)


def _session_id(name: str) -> Hex32:
    try:
        return hex32(name)
    except WireError:
        raise ConfigError(f"{name} is neither a file nor a session id", "a session id is 64 lowercase hexadecimal characters") from None


def _session_appraisal(session_id: Hex32, document: bytes, policy: AttestationPolicy, root: bytes | None) -> Appraisal:
    try:
        _, appraisal, _ = appraise_session(session_id, document, policy, trust_root=root)
    except WireError as problem:
        step, _, reason = problem.reason.partition(": ")
        if not step.startswith("session."):
            raise
        return Appraisal(policy.name, policy.level, (Check(step, Outcome.FAILED, reason, "a session that holds together"),))
    return appraisal


async def _gateway_verdict(loaded: Loaded, url: str, policy: str | None) -> GatewayVerdict:
    if policy is None:
        raise ConfigError("no policy to judge the gateway under", "give --policy NAME, a policy of the configuration")
    fetch = HttpFetch()
    clock = SystemClock()
    try:
        return await verify_gateway(fetch, endorser_of(loaded, policy, fetch, clock), clock, url, _policy(loaded, policy))
    finally:
        await fetch.close()


def _policy(loaded: Loaded, name: str) -> AttestationPolicy:
    policy = loaded.settings.policies.get(name)
    if policy is None:
        raise ConfigError(f"there is no policy {name!r} in the configuration", f"configured: {', '.join(loaded.settings.policies) or 'none'}")
    return policy


async def _document(name: str, gateway_url: str, directory: Path, key: str) -> bytes:
    if Path(name).is_file():
        return _read(Path(name))
    if not gateway_url:
        raise ConfigError(f"there is no file {name}", "name a file that exists, or give --gateway and the receipt's id")
    secret = read_secret(key, directory).expose().decode("latin-1")
    fetch = HttpFetch()
    try:
        answer = await fetch.get(f"{gateway_url.rstrip('/')}/v1/aci/receipts/{name}", authorization=f"Bearer {secret}")
    finally:
        await fetch.close()
    if answer.status != 200:
        raise UpstreamError("headers", f"the gateway answered {answer.status} for this receipt", status=answer.status)
    return answer.body


async def _session(gateway_url: str, session_id: str) -> bytes:
    if not gateway_url:
        raise ConfigError("no gateway to ask for the session", "give --gateway, or a file")
    fetch = HttpFetch()
    try:
        answer = await fetch.get(f"{gateway_url.rstrip('/')}/v1/aci/sessions/{session_id}")
    finally:
        await fetch.close()
    if answer.status != 200:
        raise UpstreamError("headers", f"the gateway answered {answer.status} for this session", status=answer.status)
    return answer.body


async def _cited(receipt: dict[str, Any], gateway_url: str) -> dict[Hex32, bytes]:
    """The sessions that a verified receipt cites, by id."""
    ids = [hex32(event["session_id"]) for event in receipt["event_log"] if event["type"] == VERIFIED and event["result"] == "verified"]
    return {session_id: await _session(gateway_url, session_id) for session_id in ids}


def _report(appraisal: Appraisal, more: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit({**appraisal_document(appraisal), **more})
    else:
        show_appraisal(appraisal, more)
    _end(appraisal.accepted)


def _show_receipt(found: dict[str, Any]) -> None:
    for event in found["event_log"]:
        facts = ", ".join(f"{name} {value}" for name, value in event.items() if name != "type")
        say(f"  [bold]{quiet(event['type']):<20}[/] [dim]{quiet(facts)}[/]")


def _end(accepted: bool) -> None:
    if not accepted:
        raise typer.Exit(REFUSED)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        fail(f"can't read {path}: {problem.strerror}", "name a file that exists")


def _maybe(path: Path | None) -> bytes | None:
    return _read(path) if path is not None else None
