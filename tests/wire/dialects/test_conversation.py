import pytest

from ollm.errors import WireError
from ollm.wire.dialects.conversation import Blob, Conversation, checked_object, linked
from ollm.wire.dialects.fields import Option


def test_a_url_stands_for_data_or_a_place() -> None:
    assert linked("data:image/png;base64,aGk=", "x").url == "data:image/png;base64,aGk="
    blob = linked("https://x.example/a,b", "x")
    assert (blob.media, blob.data, blob.url) == (None, "https://x.example/a,b", "https://x.example/a,b")
    assert Blob("aGk=", "application/pdf", "x").url == "data:application/pdf;base64,aGk="


@pytest.mark.parametrize(
    "url", ["", "canary", "file:///etc/passwd", "data:image/png,plain", "data:image/png;base64", "http:/x", "javascript:;base64,x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(WireError) as caught:
        linked(url, "messages[0].content[1]")
    assert caught.value.param == "messages[0].content[1]" and "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ['{ "n":1.0e2 , "ü":"\\u00e9"}', "{}"])
def test_arguments_stay_as_they_are(text: str) -> None:
    assert bytes(checked_object(text, "")).decode() == text


def test_no_arguments_are_an_empty_object() -> None:
    assert bytes(checked_object("", "")) == b"{}"


@pytest.mark.parametrize("text", ["canary", "[1]", "1", '{"a":', '{"a":1}{', '{"a":' + "[" * 100_000])
def test_arguments_must_be_an_object(text: str) -> None:
    with pytest.raises(WireError) as caught:
        checked_object(text, "where")
    assert caught.value.param == "where" and "canary" not in str(caught.value)


def test_a_conversation_shows_nothing() -> None:
    conversation = Conversation((), (), {"stop": Option(["canary"], "stop")})
    assert "canary" not in repr(conversation) and conversation.value("stop") == ["canary"] and conversation.value("limit") is None
