import json

import pytest

from ollm.testing.providers.every_endpoint import EVENTS, Field, answer, form
from ollm.wire.endpoints import ENDPOINTS

ASKED = {"model": "m", "input": "x", "messages": [], "prompt": "x", "documents": ["a"], "query": "q"}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_there_is_an_answer_at_every_endpoint(name: str) -> None:
    endpoint = ENDPOINTS[name]
    path = endpoint.path.removeprefix("/v1")
    whole = answer(path, json.dumps({**ASKED, "stream": False}).encode(), "application/json")
    assert whole is not None
    assert whole.pieces
    if endpoint.streams is not None:
        member, value = endpoint.streams
        streamed = answer(path, json.dumps({**ASKED, member: json.loads(value)}).encode(), "application/json")
        assert streamed is not None
        assert streamed.kind == EVENTS


def test_nothing_elsewhere() -> None:
    assert answer("/files", b"{}", "application/json") is None


def test_forms_are_read() -> None:
    head = b"--b\r\nContent-Disposition: form-data; name="
    body = head + b'"a"\r\n\r\n1\r\n' + head + b'"f"; filename="x"\r\n\r\n2\r\n--b--\r\n'
    assert form(body, "multipart/form-data; boundary=b") == {"a": Field(None, b"1"), "f": Field("x", b"2")}
    with pytest.raises(ValueError, match="no name"):
        form(body.replace(b'"f"', b'"a"'), "multipart/form-data; boundary=b")
