"""The table is data: these are the properties that the path relies on."""

import json

from ollm.wire.endpoints import CHAT, ENDPOINTS, NAMES


def test_names_and_paths_are_unique_and_of_the_form_that_records_keep() -> None:
    paths = [endpoint.path for endpoint in ENDPOINTS.values()]
    assert len(set(paths)) == len(paths) == len(NAMES)
    assert all(path.startswith("/v1/") for path in paths)
    assert all(name.replace(".", "").replace("_", "").isalpha() and name.islower() for name in NAMES)
    assert CHAT is ENDPOINTS["chat.completions"]


def test_what_can_be_streamed_says_how_it_is_asked_for_and_how_it_ends() -> None:
    for endpoint in ENDPOINTS.values():
        if endpoint.streams is not None:
            json.loads(endpoint.streams[1])
            assert endpoint.ends or endpoint.usage_option, endpoint.name
        else:
            assert not endpoint.ends


def test_a_response_is_never_kept() -> None:
    rules = ENDPOINTS["responses"].rules
    assert rules.forced == {"store": "false"}
    assert set(rules.refused) == {"previous_response_id", "conversation", "background"}
