import json

import msgspec
import pytest

from ollm.config.settings import ModelSettings
from ollm.gateway.admit import Ticket
from ollm.gateway.outgoing import Untranslatable, outgoing
from ollm.traffic.routes import Demand
from ollm.values.level import Level
from ollm.wire.dialects.messages.asking import DEFAULT_LIMIT
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.form import parse_form
from ollm.wire.request import parse_json

BODY = b'{"model":"demo","max_tokens":7,"messages":[{"role":"user","content":"canary"}],"metadata":{"user_id":"x"}}'


def ticket(**ways: str) -> Ticket:
    return Ticket("demo", ModelSettings(upstreams=tuple(ways), upstream_model="theirs"), Demand(Level.TEE), tuple(ways), ways)


def test_a_route_that_speaks_the_clients_api_gets_what_the_client_wrote() -> None:
    out = outgoing(parse_json(BODY, ENDPOINTS["messages"]), ticket(a="messages"), "a")
    assert (out.endpoint.name, out.dialect, out.streamed) == ("messages", None, False)
    assert out.body == BODY.replace(b'"demo"', b'"theirs"')
    assert "canary" not in repr(out)


def test_another_gets_a_translation() -> None:
    out = outgoing(parse_json(BODY, ENDPOINTS["messages"]), ticket(a="messages", b="chat.completions"), "b")
    assert out.dialect is not None
    assert (out.endpoint.path, out.dialect.asked, out.dialect.spoken) == ("/v1/chat/completions", "messages", "chat.completions")
    assert json.loads(out.body)["model"] == "theirs"


def test_what_would_be_lost_is_named_without_its_value() -> None:
    body = BODY.replace(b'"metadata"', b'"canary-member"')
    with pytest.raises(Untranslatable) as lost:
        outgoing(parse_json(body, ENDPOINTS["messages"]), ticket(b="chat.completions"), "b")
    assert (lost.value.status, lost.value.code, lost.value.param) == (400, "untranslatable", None)
    assert "canary" not in lost.value.message


def test_a_form_goes_on_as_a_form() -> None:
    data = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo\r\n--b--\r\n'
    request = parse_form(data, "multipart/form-data; boundary=b", ENDPOINTS["audio.transcriptions"], "ours-1")
    out = outgoing(request, ticket(a="audio.transcriptions"), "a")
    assert out.content_type == "multipart/form-data; boundary=ours-1"
    assert b"theirs" in out.body


@pytest.mark.parametrize(
    ("limit", "most", "asked"),
    [(b"", None, DEFAULT_LIMIT), (b"", 64_000, 64_000), (b"", 4096, 4096), (b'"max_tokens":7,', 64_000, 7), (b'"max_tokens":null,', 64_000, 64_000)],
)
def test_an_api_that_demands_a_limit_gets_the_models_own(limit: bytes, most: int | None, asked: int) -> None:
    body = b'{"model":"demo",' + limit + b'"messages":[{"role":"user","content":"hello"}]}'
    made = ticket(b="messages")
    made = msgspec.structs.replace(made, model=msgspec.structs.replace(made.model, max_output=most))
    out = outgoing(parse_json(body, ENDPOINTS["chat.completions"]), made, "b")
    assert json.loads(out.body)["max_tokens"] == asked
    assert b"max_tokens" not in outgoing(parse_json(body.replace(limit, b""), ENDPOINTS["chat.completions"]), ticket(a="chat.completions"), "a").body
