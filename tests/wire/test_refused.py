"""Endpoints that are refused on purpose: each by its own path, told why and what to do instead."""

import pytest

from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.refused import REFUSED_ENDPOINTS, refused_endpoint

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def why(method: str, path: str) -> str:
    found = refused_endpoint(method, path)
    assert found is not None, (method, path)
    return found.message


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/files", "data URLs"),
        ("/v1/files/file-abc/content", "data URLs"),
        ("/v1/uploads/upload_1/parts", "data URLs"),
        ("/v1/batches", "by itself"),
        ("/v1/batches/batch_1/cancel", "by itself"),
        ("/v1/messages/batches/msgbatch_1/results", "by itself"),
        ("/v1/fine_tuning/jobs", "trains nothing"),
        ("/v1/vector_stores/vs_1/search", "/v1/embeddings"),
        ("/v1/assistants", "/v1/responses"),
        ("/v1/threads/thread_1/runs", "/v1/responses"),
        ("/v1/realtime/client_secrets", "not served yet"),
        ("/v1/conversations/conv_1/items", "whole conversation"),
        ("/v1/containers", "on your side"),
        ("/v1/evals/eval_1/runs", "on your side"),
        ("/v1/skills", "on your side"),
        ("/v1/chatkit/sessions", "whole conversation"),
        ("/v1/videos", "fetched later"),
        ("/v1/images/variations", "/v1/images/edits"),
        ("/v1/responses/resp_1", "not kept"),
        ("/v1/responses/resp_1/cancel", "not kept"),
        ("/v1/responses/compact", "not served yet"),
        ("/v1/responses/input_tokens", "count_tokens"),
        ("/v1/chat/completions/chatcmpl-1/messages", "not kept"),
    ],
)
def test_each_says_why_and_what_instead(path: str, word: str) -> None:
    for method in METHODS:
        assert word in why(method, path)


def test_stored_completions_can_not_be_listed_and_new_ones_be_made() -> None:
    assert "none to list" in why("GET", "/v1/chat/completions")
    assert refused_endpoint("POST", "/v1/chat/completions") is None


def test_no_endpoint_that_is_served_is_refused() -> None:
    for endpoint in ENDPOINTS.values():
        assert refused_endpoint("POST", endpoint.path) is None


@pytest.mark.parametrize(
    "path",
    ["/v1/file", "/v1/filesystem", "/v1/files/", "/v1/responses/", "/v1/responses", "/V1/files", "//v1/files", "/v1//files", "/files",
     "/v2/files", "/v1", "/v1/./files", "/x/../v1/files", "/v1/images", "/v1/messages"],
)  # fmt: skip
def test_a_path_that_only_looks_like_one_is_none(path: str) -> None:
    assert refused_endpoint("POST", path) is None


def test_every_entry_can_be_reached_and_makes_two_sentences() -> None:
    for entry in REFUSED_ENDPOINTS:
        path = entry.path if entry.at else entry.path + "/x"
        method = min(entry.methods) if entry.methods else "POST"
        assert refused_endpoint(method, path) is entry
        assert entry.message.endswith(".") and ". " in entry.message
