"""The table of operations: one for each inference endpoint, and those that are none."""

from ollm.gateway.models import FILTERS
from ollm.gateway.openapi.operations import EVENTS, JSON, Operation, operations
from ollm.wire.endpoints import ENDPOINTS


def by_id() -> dict[str, Operation]:
    found = list(operations())
    named = {operation.id: operation for operation in found}
    assert len(named) == len(found), "an operation's id is its own"
    return named


def test_each_inference_endpoint_is_an_operation() -> None:
    inference = [operation for operation in operations() if operation.endpoint is not None]
    assert [operation.endpoint for operation in inference] == list(ENDPOINTS.values())
    assert {operation.method for operation in inference} == {"POST"}
    assert all({"keyed", "body", "inference"} <= set(operation.traits) for operation in inference)


def test_ids_are_words_that_generators_of_clients_can_use() -> None:
    assert {"chatCompletions", "messagesCountTokens", "audioSpeech", "listModels", "describe"} <= set(by_id())
    assert all(name.isalpha() for name in by_id())


def test_what_an_endpoint_answers_with() -> None:
    found = by_id()
    assert set(found["chatCompletions"].answers) == {JSON, EVENTS}
    assert set(found["audioSpeech"].answers) == {"audio/*", "application/octet-stream", EVENTS}
    assert set(found["audioTranslations"].answers) == {JSON, "text/plain"}
    assert set(found["embeddings"].answers) == {JSON}
    assert found["embeddings"].answers[JSON] != found["completions"].answers[JSON], "only one of them has id and model"


def test_the_filters_of_the_list_of_models_are_those_that_it_takes() -> None:
    assert set(by_id()["listModels"].query) == set(FILTERS)
