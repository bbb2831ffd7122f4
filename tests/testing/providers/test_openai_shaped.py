"""What the servers that play providers answer is what the API defines."""

import json

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ollm.testing.providers.openai_shaped import ANSWER, USAGE, events, whole


def test_a_whole_answer() -> None:
    answer = ChatCompletion.model_validate_json(whole("m"))
    assert (answer.model, answer.choices[0].message.content) == ("m", ANSWER)
    assert answer.usage is not None and answer.usage.total_tokens == USAGE["total_tokens"]


def test_a_streamed_answer_says_the_same() -> None:
    *chunks, done = events("m")
    assert done == b"data: [DONE]\n\n"
    parsed = [ChatCompletionChunk.model_validate(json.loads(chunk[6:])) for chunk in chunks]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in parsed if chunk.choices) == ANSWER
    assert parsed[-1].usage is not None
