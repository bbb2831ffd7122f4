"""Objects that hold content, and every error that a request full of marks provokes: none of them can print a mark."""

import asyncio
import contextlib
import json
import pprint
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.pretty import pretty_repr

from ollm.errors import ApiError, OllmError
from ollm.gateway.attested import TrustRefusal
from ollm.gateway.call import Call
from ollm.gateway.exchange import Exchange
from ollm.gateway.refusal import PolicyRefusal
from ollm.gateway.relay import relay
from ollm.sim.service import SimEnclave, SimOptions
from ollm.upstream.answer import Answer, SealedRequest
from ollm.upstream.session import Unverified, VerifiedSession
from ollm.values.ledger import Entry
from ollm.values.level import Level
from ollm.wire.request import InferenceRequest
from tests.scripted_enclave import scripted_enclave
from tests.stage import Stage, configuration, eventually, opened, policy_table, upstream_table
from tests.system import marked
from tests.system.canaries import Canaries, Sink
from tests.system.installation import MAX_BODY, MODELS
from tests.system.marked_cases import Cases, say
from tests.system.processes import free_ports


@contextlib.asynccontextmanager
async def staged_with_marks(folder: Path, canaries: Canaries) -> AsyncIterator[Stage]:
    """A gateway in this process, with the models that the cases name."""
    async with SimEnclave(SimOptions()) as enclave, scripted_enclave(marked.Echo(canaries)) as hostile:
        names = {**MODELS, **{f"echo-{status}": ("hostile", "") for status in marked.ECHOED}, **dict.fromkeys(marked.FORMS, ("hostile", ""))}
        models = {name: {"upstreams": [upstream], "upstream_model": there or None} for name, (upstream, there) in names.items()}
        other = policy_table(enclave.policy)
        other["tdx"]["reference_values"] = [{"name": "nobody's", "source": "made up", "mrtd": "0" * 96, "compose_hashes": ["0" * 64]}]
        settings = {"max_body_bytes": MAX_BODY, "drain_seconds": 0.1}
        tree = configuration({"enclave": enclave, "hostile": hostile}, models=models, policies={"other": other}, gateway=settings)
        tree["upstreams"]["changed-software"] = upstream_table(enclave, "other")
        tree["upstreams"]["nobody"] = {**upstream_table(enclave, "enclave"), "url": f"https://127.0.0.1:{free_ports(1)[0]}"}
        async with opened(folder, tree) as stage:
            yield stage


def shown(thing: object) -> bytes:
    """All that printing, formatting and pretty-printing make of `thing`."""
    return "\n".join([repr(thing), str(thing), f"{thing}", pprint.pformat(thing), pretty_repr(thing)]).encode("utf-8", "replace")


async def test_objects_that_hold_content_do_not_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = Canaries()
    met: dict[type, Any] = {}

    seal = VerifiedSession.seal

    async def watched_relay(exchange: Exchange, call: Call, request: InferenceRequest, answer: Answer) -> None:
        held = (exchange, call, request, answer, exchange.caller, exchange.caller.secret, exchange.session, exchange.gateway, exchange.intent())
        row = exchange.gateway.keys.lookup(exchange.caller.key_id)
        met.update({type(thing): thing for thing in (*held, row, row.row if row is not None else None, request.preferences)})
        await relay(exchange, call, request, answer)
        entry = await exchange.gateway.ledger.find(exchange.stem)
        met[type(entry)] = entry

    async def watched_seal(session: VerifiedSession, path: str, body: bytes, headers: dict[str, str], **how: Any) -> SealedRequest:
        assert canaries.leaks([Sink("the body that is sealed", body)])
        request = met[SealedRequest] = await seal(session, path, body, headers, **how)
        return request

    monkeypatch.setattr("ollm.gateway.pipeline.relay", watched_relay)
    monkeypatch.setattr(VerifiedSession, "seal", watched_seal)
    async with staged_with_marks(tmp_path, canaries) as stage:
        canaries.secret("API key", stage.api_key[-43:])
        canaries.binary("pepper", repr(stage.gateway.pepper)[2:-1].encode())
        body = json.dumps(marked.prompt(canaries, "odd-answer", provider={canaries.mark("provider"): 1}))
        answer = await stage.http.post("/v1/chat/completions", content=body, headers=marked.headers(canaries, stage.api_key))
        assert answer.status_code == 200
        await eventually(lambda: Entry in met)
    wanted = {
        "JsonRequest",
        "SealedRequest",
        "Answer",
        "Exchange",
        "Call",
        "Caller",
        "VerifiedSession",
        "Gateway",
        "Sealed",
        "KeyRow",
        "Entry",
        "Intent",
    }
    assert wanted <= {kind.__name__ for kind in met}
    leaks = canaries.leaks(Sink(kind.__name__, shown(thing)) for kind, thing in met.items())
    assert not leaks, leaks


async def test_errors_do_not_tell_what_provoked_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = Canaries()
    raised: list[Exception] = []

    def remembered(kind: type[Exception], *args: object, **kwargs: object) -> Exception:
        error = Exception.__new__(kind, *args)
        raised.append(error)
        return error

    for kind in (OllmError, PolicyRefusal, TrustRefusal, Unverified):
        monkeypatch.setattr(kind, "__new__", remembered, raising=False)
    async with staged_with_marks(tmp_path, canaries) as stage:
        canaries.secret("API key", stage.api_key[-43:])
        strict_key = await stage.new_key(require=Level.TEE)
        await eventually(lambda: stage.gateway.keys.lookup(strict_key.split("-")[2]))
        cases = Cases(canaries, stage.api_key, strict_key)
        for case in cases.all():
            await asyncio.wait_for(say(stage.server.port, case), 20)
    kinds = {type(error).__name__ for error in raised}
    assert {"ApiError", "WireError", "UpstreamError", "SealError", "EvidenceRefused", "PolicyRefusal", "TrustRefusal", "Unverified"} <= kinds
    assert len(raised) > 150
    leaks = canaries.leaks(Sink(type(error).__name__, told(error)) for error in raised)
    assert not leaks, leaks


def told(error: Exception) -> bytes:
    """What logs and tracebacks could tell of `error`, with what it was made from."""
    members = {**vars(error), **(dict(error.headers) if isinstance(error, ApiError) else {})}
    return shown(error) + shown(error.args) + shown(members) + "".join(traceback.format_exception(error)).encode("utf-8", "replace")
