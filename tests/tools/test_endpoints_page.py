"""The page of endpoints is made from the OpenAPI document: each operation, and each endpoint that is refused, has its row."""

import re

from ollm.gateway.openapi.document import document
from ollm.wire.refused import REFUSED_ENDPOINTS
from tools import check_docs, endpoints_page


def test_every_operation_has_its_row() -> None:
    rows = set(re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", endpoints_page.page(), re.MULTILINE))
    assert rows == {f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods}


def test_a_row_says_what_goes_in_and_what_comes_out() -> None:
    page = endpoints_page.page()
    assert (
        "| `POST /v1/audio/transcriptions` | yes | `multipart/form-data` | `application/json`, `text/plain`, `text/event-stream` | 400 401 " in page
    )
    assert "| `GET /healthz` | no | none | `application/json` | 400 408 414 417 431 500 501 503 505 |" in page


def test_what_is_refused_is_listed_with_its_reason() -> None:
    page = endpoints_page.page()
    assert "refused-on-purpose" in check_docs.anchors(page)
    for entry in REFUSED_ENDPOINTS:
        assert entry.instead in page
    assert "| `GET` `/v1/chat/completions` | answers are not kept, so there are none to list. POST to it for a new one. |" in page
    assert "| `/v1/responses/…` |" in page and "| `/v1/files`, `/v1/files/…` |" in page
