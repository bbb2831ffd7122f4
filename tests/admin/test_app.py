"""The control plane as a server: headers, errors, bodies, and nothing of the data plane in its process."""

import json
import subprocess
import sys

import pytest

from ollm.admin.app import HEALTH, App, answer_of
from ollm.admin.routes import ROUTES
from ollm.errors import ApiError, ChangeRefused, ConfigError, NoSuchSubject, SealError, StoreError
from tests.admin.conftest import ORG, Plane


def test_every_answer_has_an_id_and_is_kept_by_nobody(plane: Plane) -> None:
    answers = [plane.ask("GET", "/projects"), plane.ask("GET", "/projects", "member"), plane.ask("GET", "/nowhere"), plane.ask("GET", HEALTH, "")]
    assert [answer.status_code for answer in answers] == [200, 403, 404, 200]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"
        assert "access-control-allow-origin" not in answer.headers
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 4
    assert all(each.startswith("req_") and len(each) == 36 for each in ids)


def test_no_other_origin_is_let_in(plane: Plane) -> None:
    answer = plane.ask("OPTIONS", "/projects", headers={"origin": "https://example.com", "access-control-request-method": "POST"})
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_errors_are_openais_and_say_whether_to_repeat(plane: Plane) -> None:
    answer = plane.ask("GET", "/projects", "")
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert plane.ask("PUT", "/projects").headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/", "/v1/organization/", "/v1/organization/projects/", "/v1/organization//projects", "/docs"]
)
def test_paths_that_are_none(plane: Plane, path: str) -> None:
    answer = plane.http.get(plane.url + path, headers={"authorization": f"Bearer {plane.keys['owner']}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"name":"a","name":"b"}', 400, "invalid_request"),
        (b'{"name":"\xff"}', 400, "invalid_request"),
        (b'{"name":NaN}', 400, "invalid_request"),
        (b"[" * 5000, 400, "invalid_request"),
        (b'{"name":"' + b"a" * 70_000 + b'"}', 413, "request_too_large"),
    ],
)
def test_bodies_that_are_none(plane: Plane, body: bytes, status: int, code: str) -> None:
    answer = plane.http.post(f"{plane.url}{ORG}/projects", content=body, headers={"authorization": f"Bearer {plane.keys['owner']}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_body_where_none_is_wanted(plane: Plane, project: str) -> None:
    plane.refused("POST", f"/projects/{project}/archive", 400, "invalid_request", {"force": True})
    assert plane.get(f"/projects/{project}")["status"] == "active"


def test_the_key_comes_before_the_body(plane: Plane) -> None:
    answer = plane.http.post(f"{plane.url}{ORG}/projects", content=b"a" * 1_000_000, headers={"authorization": "Bearer sk-ollm-none"})
    assert answer.status_code == 401


def test_keys_in_other_headers_are_none(plane: Plane) -> None:
    for headers in ({"x-api-key": plane.keys["owner"]}, {"api-key": plane.keys["owner"]}, {"authorization": f"Basic {plane.keys['owner']}"}):
        assert plane.ask("GET", "/projects", "", headers=headers).status_code == 401


def test_every_route_of_the_app_is_of_the_table(plane: Plane) -> None:
    app = App(None)  # type: ignore[arg-type]
    assert {route.path for route in app.routes} == {way.path for way in ROUTES} | {HEALTH}


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (ApiError(418, "x", "teapot", "short"), 418, "teapot"),
        (NoSuchSubject("project"), 404, "not_found"),
        (ChangeRefused("no"), 400, "change_refused"),
        (ConfigError("no"), 400, "unknown_reference"),
        (StoreError("disk"), 503, "store_unavailable"),
        (SealError("x"), 500, "internal_error"),
    ],
)
def test_each_error_has_its_answer(problem: Exception, status: int, code: str) -> None:
    answer = answer_of(problem)  # type: ignore[arg-type]
    assert (answer.status, answer.code) == (status, code)


def test_its_process_has_nothing_of_the_data_plane() -> None:
    code = "import sys, json, ollm.app.admin; print(json.dumps([name for name in sys.modules if name.startswith('ollm.')]))"
    names = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert "ollm.admin.app" in names
    assert not [name for name in names if name.split(".")[1] in ("gateway", "upstream", "seal", "sim", "proxy")]
