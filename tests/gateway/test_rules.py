"""Rules as clients meet them: refused, masked, blocked; whole and streamed; and nothing of what was found is anywhere."""

import datetime
import json
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from ollm.gateway.authenticate import Caller
from ollm.gateway.refusal import PolicyRefusal
from ollm.gateway.rules import check, rules_of
from ollm.sim.service import SimEnclave, SimOptions
from ollm.values.identity import Role
from ollm.values.ledger import Status
from ollm.values.level import Level
from ollm.values.secret import Sealed
from ollm.values.standing import standing_of
from ollm.values.terms import Terms
from ollm.wire.request import parse_json
from tests.stage import CHAT, MODEL, Stage, chat_body, configuration, error_of, events, opened

CARD = "4111 1111 1111 1111"
CANARY = "canary-7f3a9c"
CARDS = {"name": "cards", "detect": "payment_card"}
MASK = {"action": "mask", "mask": "[card]"}
WORD = {"name": "word", "detect": "pattern", "pattern": "canary-[0-9a-f]+", "longest": 32}


def play(enclave: SimEnclave, *prompt: dict[str, Any], exceptions: tuple[dict[str, Any], ...] = (), **members: Any) -> dict[str, Any]:
    tree = configuration({"enclave": enclave}, gateway={"rules": ["base"]}, upstream={"region": "eu-1"})
    return {**tree, "rules": {"base": {"prompt": list(prompt), **members}}, "exceptions": list(exceptions)}


def event_log(receipt: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {event["type"]: event for event in receipt["event_log"]}


async def test_what_is_masked_is_what_is_sent_and_the_receipt_names_rules_and_digest(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, {**CARDS, **MASK})) as stage:
        response = await stage.chat(f"pay with {CARD} please")
        assert response.status_code == 200
        said = response.json()["choices"][0]["message"]["content"]
        assert "pay with [card] please" in said
        assert "4111" not in response.text
        log = event_log(await stage.receipt(response))
        assert log["ollm.rule"] == {"type": "ollm.rule", "rule": "base/cards", "action": "mask", "on": "request"}
        assert log["ollm.config"]["rules"] == "base"
        assert log["ollm.config"]["rules_digest"].startswith("sha256:")
        assert log["request.forwarded"]["body_hash"] != log["request.received"]["body_hash"]


async def test_escapes_hide_nothing(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, CARDS)) as stage:
        body = b'{"model":"demo","messages":[{"role":"user","content":"4111\\u0031111\\u0031111\\u0031111"}]}'
        response = await stage.http.post(CHAT, content=body)
        assert error_of(response)["code"] == "policy_blocked"


def scan(folder: Path) -> None:
    """No file that the gateway left holds the canary, the store's among them."""
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    for path in kept:
        assert CANARY.encode() not in path.read_bytes(), path


async def test_a_block_names_the_rule_and_leaks_nothing(
    socket_dir: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    both = {**WORD, "on": ["request", "answer"]}
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, both, {**CARDS, **MASK})) as stage:
        caplog.set_level("DEBUG")
        answers = [await stage.chat(f"tell {CANARY} now"), await stage.chat(f"tell {CANARY} {CARD}", stream=True)]
        for response in answers:
            assert response.status_code == 403
            error = error_of(response)
            assert (error["type"], error["code"]) == ("permission_error", "policy_blocked")
            assert "base/word" in error["message"]
            assert response.headers["x-should-retry"] == "false"
            receipt = await stage.receipt(response)
            log = event_log(receipt)
            assert log["ollm.rule"] == {"type": "ollm.rule", "rule": "base/word", "action": "block", "on": "request"}
            assert log["upstream.verified"]["reason"] == "policy: blocked by rule base/word"
            assert "request.forwarded" not in log
            assert (await stage.entry(response)).status is Status.REFUSED
            for text in (response.text, str(response.headers), json.dumps(receipt), repr(await stage.entry(response))):
                assert CANARY not in text
        assert enclave.counters.prompt_bytes == 0
    output = capfd.readouterr()
    assert CANARY not in output.out + output.err + caplog.text
    scan(socket_dir)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_masked(socket_dir: Path, stream: bool) -> None:
    """The enclave repeats what it was told, word by word: a number in groups comes in four events."""
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, {**CARDS, **MASK, "on": ["answer"]})) as stage:
        response = await stage.chat(f"number {CARD} and more", stream=stream)
        assert response.status_code == 200
        if stream:
            said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events(response.content) if event["choices"])
            assert response.content.endswith(b"data: [DONE]\n\n")
        else:
            said = response.json()["choices"][0]["message"]["content"]
        assert "number [card] and more" in said
        assert "4111" not in response.text
        assert event_log(await stage.receipt(response))["ollm.rule"]["on"] == "answer"
        assert (await stage.entry(response)).status is Status.COMPLETED


async def test_a_blocked_answer_is_withheld_and_paid_for(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, {**WORD, "on": ["answer"]})) as stage:
        whole = await stage.chat(f"tell {CANARY} now")
        assert (whole.status_code, error_of(whole)["code"]) == (403, "policy_blocked")
        entry = await stage.entry(whole)
        assert (entry.status, entry.upstream) == (Status.REFUSED, "enclave")
        assert entry.usage is not None
        streamed = await stage.chat(f"{'word ' * 40}tell {CANARY} now", stream=True)
        assert streamed.status_code == 200
        last = events(streamed.content)[-1]
        assert last["error"]["code"] == "policy_blocked"
        assert b"[DONE]" not in streamed.content
        for response in (whole, streamed):
            receipt = await stage.receipt(response)
            assert event_log(receipt)["ollm.rule"] == {"type": "ollm.rule", "rule": "base/word", "action": "block", "on": "answer"}
            assert CANARY not in response.text + json.dumps(receipt)


async def test_the_sdk_raises_on_a_blocked_stream(socket_dir: Path) -> None:
    async with (
        SimEnclave(SimOptions()) as enclave,
        opened(socket_dir, play(enclave, {**WORD, "on": ["answer"]})) as stage,
        openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key=stage.api_key, max_retries=0) as client,
    ):
        messages: Any = [{"role": "user", "content": f"{'word ' * 40}tell {CANARY} now"}]
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        with pytest.raises(openai.APIError, match="base/word"):
            async for _ in stream:
                pass


async def test_log_probabilities_are_refused_where_rules_look_at_answers(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, {**CARDS, "on": ["answer"]})) as stage:
        response = await stage.chat(logprobs=True)
        assert error_of(response)["code"] == "policy_refused"
        assert "logprobs" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("members", "asked", "says"),
    [
        ({"models": {"deny": [MODEL]}}, {}, "rules.base.models: got one that is not allowed"),
        ({"endpoints": {"allow": ["embeddings"]}}, {}, "rules.base.endpoints"),
        ({"parameters": {"deny": ["seed"]}}, {"seed": 7}, "rules.base.parameters.deny: got seed, want a request without seed"),
        (
            {"parameters": {"max": {"max_tokens": 100}}},
            {"max_completion_tokens": 101},
            "base.parameters.max.max_tokens: got more, want at most 100",
        ),
        ({"parameters": {"max": {"max_tokens": 100}}}, {}, "got no limit"),
        ({"parameters": {"max": {"n": 1}}}, {"n": "1"}, "got no number"),
        ({"tools": {"allow": []}}, {"tools": [{"type": "function", "function": {"name": "secret_name"}}]}, "rules.base.tools"),
        ({"tools": {"deny": ["web_search"]}}, {"tools": [{"type": "web_search"}]}, "rules.base.tools"),
        ({"tools": {"deny": ["a"]}}, {"tools": {"name": "b"}}, "tools that can't be read"),
        ({"sizes": {"messages": 0}}, {}, "rules.base.sizes.messages: got more, want at most 0"),
        ({"sizes": {"prompt_bytes": 10}}, {}, "rules.base.sizes.prompt_bytes"),
        ({"regions": ["eu-1"], "upstreams": {"deny": ["enclave"]}}, {}, "rules.base.upstreams: got enclave"),
        ({"technologies": ["nitro"]}, {}, "rules.base.technologies: got tdx, want nitro"),
        ({"technologies": ["tdx"]}, {}, "rules.base.technologies: got none that hardware attests, want tdx"),
        ({"gpu": "required"}, {}, "rules.base.gpu: got "),
    ],
)
async def test_what_a_rule_refuses(socket_dir: Path, members: dict[str, Any], asked: dict[str, Any], says: str) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, **members)) as stage:
        response = await stage.chat(**asked)
        assert response.status_code == 403, response.text
        error = error_of(response)
        assert error["code"] == "policy_refused"
        assert says in error["message"]
        assert "secret_name" not in error["message"]
        assert response.headers["x-should-retry"] == "false"
        assert enclave.counters.prompt_bytes == 0
        log = event_log(await stage.receipt(response))
        assert log["upstream.verified"]["reason"].startswith("policy: rules.base.")


async def test_what_keeps_the_rules_is_served(socket_dir: Path) -> None:
    members: dict[str, Any] = {
        "parameters": {"deny": ["seed"], "max": {"max_tokens": 100, "n": 1}},
        "tools": {"allow": ["look_up"]},
        "sizes": {"messages": 1, "tools": 1, "images": 0, "prompt_bytes": 1000},
        "regions": ["eu-1"],
        "max_evidence_age": 3600,
    }
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, CARDS, **members)) as stage:
        response = await stage.chat(max_tokens=50, tools=[{"type": "function", "function": {"name": "look_up"}}])
        assert response.status_code == 200, response.text


async def test_old_evidence_is_made_anew(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, max_evidence_age=60)) as stage:
        assert (await stage.chat()).status_code == 200
        keeper = stage.gateway.keepers["enclave"]
        first = keeper.held()
        assert first is not None
        first.established_at -= 61  # type: ignore[attr-defined]  # a verified one
        response = await stage.chat()
        assert response.status_code == 200, response.text
        second = keeper.held()
        assert second is not None
        assert second is not first


def exception(**members: Any) -> dict[str, Any]:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    return {"name": "trial", "project": "proj_default", "reason": "a trial", "until": until.isoformat(), **members}


async def test_an_exception_lifts_one_rule_and_says_so(socket_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, play(enclave, CARDS, exceptions=(exception(rule="base/cards"),))) as stage:
        response = await stage.chat(f"pay {CARD}")
        assert response.status_code == 200, response.text
        event = event_log(await stage.receipt(response))["ollm.exception"]
        assert (event["name"], event["lifted"]) == ("trial", "base/cards")
        record = next(record for record in caplog.records if record.name == "ollm.rules")
        assert vars(record)["exception"] == "trial"
        assert CARD not in caplog.text


async def test_an_exception_lets_the_floor_of_a_rule_down(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        async with opened(socket_dir / "with", play(enclave, require="tee", exceptions=(exception(level="simulated"),))) as stage:
            assert (await stage.chat()).status_code == 200
            assert (await stage.chat(provider={"zdr": True})).status_code == 403  # what the request itself requires is never lifted
        async with opened(socket_dir / "without", play(enclave, require="tee")) as stage:
            assert error_of(await stage.chat())["code"] == "execution_level"


async def test_a_table_that_only_the_store_knows_refuses_everything(stage: Stage) -> None:
    """Somebody took it out of the configuration, and forgot the terms that name it."""
    standing = msgspec.structs.replace(
        standing_of("key", Role.MEMBER, Level.SIMULATED, {"key": Terms(rules=("gone",))}, project_id="p", org_id="o"), rules=("gone",)
    )
    rules = rules_of(stage.gateway, Caller(standing, Sealed(b"")))
    assert rules.missing == "gone"
    with pytest.raises(PolicyRefusal, match=r"rules\.gone: got nothing"):
        check(rules, parse_json(chat_body()), MODEL)
    assert not stage.gateway.rules
