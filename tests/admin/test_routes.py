"""Route × role: every route of both planes, asked without a key, with keys that don't hold, and with a key of each role.

What is expected comes from the tables; what is asked comes from the applications. A route that is missing in either fails here.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ollm.admin.app import HEALTH, App
from ollm.admin.routes import ROUTES
from ollm.app.serve import running as gateway_running
from ollm.config.load import Loaded, load
from ollm.gateway import app as gateway
from ollm.values.identity import Role
from tests.admin.conftest import CONFIG, Plane, issue, planed
from tests.standing import standing

INVALID = ("none", "wrong", "unknown", "malformed", "expired", "revoked", "disabled", "archived")
CREDENTIALS = (*INVALID, *(str(role) for role in Role))
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")


async def invalid_keys(loaded: Loaded, plane: Plane) -> dict[str, str]:
    """Keys that don't hold any more, or never did. Each was an owner's, except for the one whose project is archived."""
    expired = await issue(loaded, "expired", role=Role.OWNER, expires_at=int(time.time()) - 1)
    revoked, disabled = await issue(loaded, "revoked", role=Role.OWNER), await issue(loaded, "disabled", role=Role.OWNER)
    project = (await asyncio.to_thread(plane.post, "/projects", {"name": "Gone"}))["id"]
    archived = await issue(loaded, "archived", project_id=project)
    for method, path in (
        ("DELETE", f"/api_keys/{revoked.split('-')[2]}"),
        ("POST", f"/api_keys/{disabled.split('-')[2]}/disable"),
        ("POST", f"/projects/{project}/archive"),
    ):
        answer = await asyncio.to_thread(plane.ask, method, path)
        assert answer.status_code == 200, answer.text
    owner = plane.keys["owner"]
    wrong = owner[:-10] + ("AAAAAAAAAA" if not owner.endswith("AAAAAAAAAA") else "BBBBBBBBBA")
    unknown = f"sk-ollm-{'a' * 16}-{owner.split('-', 3)[3]}"
    return {
        "wrong": wrong, "unknown": unknown, "malformed": "sk-other", "expired": expired,
        "revoked": revoked, "disabled": disabled, "archived": archived,
    }  # fmt: skip


class Planes:
    """Both planes over one store, and a credential of each kind."""

    def __init__(self, admin_url: str, gateway_url: str, keys: dict[str, str]) -> None:
        self.urls = {"admin": admin_url, "gateway": gateway_url}
        self.keys = keys
        self.http = httpx2.Client(timeout=20)

    def status(self, which: str, method: str, path: str, credential: str) -> int:
        headers = {} if credential == "none" else {"authorization": f"Bearer {self.keys[credential]}"}
        return self.http.request(method, self.urls[which] + path, headers=headers, content=b"{" if method == "POST" else None).status_code


@pytest.fixture(scope="module")
def planes() -> Iterator[Planes]:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    config = CONFIG.replace('durability = "process"', 'durability = "process"\nlisten = "127.0.0.1:0"\nfloor = "zdr"')
    try:
        with standing(planed(folder, config)) as plane:
            loaded = load(folder / "ollm.toml")
            keys = {**plane.keys, **asyncio.run(invalid_keys(loaded, plane))}
            with standing(gateway_running(loaded)) as (_, server):
                both = Planes(plane.url, f"http://127.0.0.1:{server.port}", keys)
                with both.http:
                    yield both
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def concrete(path: str) -> str:
    """`path` with something that isn't there for each of its parameters."""
    return re.sub(r"\{[^}]*\}", "none_such", path)


@pytest.mark.parametrize("way", ROUTES, ids=lambda way: f"{way.method} {way.path}")
def test_the_control_plane(planes: Planes, way: object) -> None:
    method, path, roles = way.method, way.path, way.roles  # type: ignore[attr-defined]
    for credential in CREDENTIALS:
        status = planes.status("admin", method, concrete(path), credential)
        if credential in INVALID:
            assert status == 401, credential
        elif Role(credential) in roles:
            assert status in (200, 400, 404), credential  # let in: the path names nothing that is there, the body is none
        else:
            assert status == 403, credential


def test_nothing_is_for_members_and_nothing_but_health_for_everybody() -> None:
    for way in ROUTES:
        assert way.roles, way
        assert Role.MEMBER not in way.roles, way
        assert way.method == "GET" or not {Role.VIEWER, Role.AUDITOR} & way.roles, way
        assert Role.OWNER in way.roles, way
        assert way.says.endswith("."), way


def test_the_table_is_what_the_control_plane_serves(planes: Planes) -> None:
    served = {route.path for route in App(None).routes}  # type: ignore[arg-type]
    assert served - {HEALTH} == {way.path for way in ROUTES}
    assert len({(way.method, way.path) for way in ROUTES}) == len(ROUTES)
    assert planes.status("admin", "GET", HEALTH, "none") == 200
    by_path: dict[str, set[str]] = {}
    for way in ROUTES:
        by_path.setdefault(way.path, set()).add(way.method)
    for path, methods in by_path.items():
        for method in set(METHODS) - methods:
            assert planes.status("admin", method, concrete(path), "owner") == 405, (method, path)


GATEWAY_ROUTES = [(method, path) for path, methods in gateway.ROUTES.items() for method in methods]
GATEWAY_ROUTES += [(method, path) for path, methods in gateway.NAMED_ROUTES.items() for method in methods]


def test_every_route_of_the_data_plane_has_its_roles() -> None:
    assert set(gateway.ROLES) == {path for _, path in GATEWAY_ROUTES}
    open_to_all = {path for path, roles in gateway.ROLES.items() if roles == gateway.PUBLIC}
    assert open_to_all == {"/v1/aci/attestation", "/v1/aci/sessions", "/v1/aci/sessions/", "/openapi.json", "/healthz", "/readyz"}


@pytest.mark.parametrize(("method", "path"), GATEWAY_ROUTES)
def test_the_data_plane(planes: Planes, method: str, path: str) -> None:
    roles = gateway.ROLES[path]
    asked = f"{path}none_such" if path.endswith("/") else path
    for credential in CREDENTIALS:
        status = planes.status("gateway", method, asked, credential)
        if roles == gateway.PUBLIC:
            assert status not in (401, 403), credential
        elif credential in INVALID:
            assert status == 401, credential
        elif Role(credential) in roles:
            assert status not in (401, 403), credential
        else:
            assert status == 403, credential
