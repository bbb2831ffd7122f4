"""A control plane on a real socket, with a key of each role, over a store of its own."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from ollm.app.admin import administered, running
from ollm.app.initialise import initialise
from ollm.config.load import Loaded, key_bytes, load
from ollm.store.changes import local_actor
from ollm.store.issuing import create_key
from ollm.store.keys import NewKey
from ollm.values.identity import Role
from tests.standing import standing

CONFIG = """\
[gateway]
durability = "process"

[admin]
listen = "127.0.0.1:0"

[upstreams.acme]
adapter = "openai"
region = "DE"

[upstreams.other]
adapter = "openai"

[models.small]
upstreams = ["acme", "other"]
aliases = ["little"]
price = { input = 150000, output = 600000 }

[models."acme/large-1"]
upstreams = ["other"]
"""
ORG = "/v1/organization"


async def issue(loaded: Loaded, name: str, **options: Any) -> str:
    """A key made as the command line makes it."""
    async with administered(loaded) as admin:
        new = NewKey(name=name, created_at=admin.clock.now(), **options)
        text, _ = await admin.store.administration.write(local_actor(), admin.clock.now(), lambda changes: create_key(changes, new, admin.pepper))
    return text


class Plane:
    """A running control plane, and keys for it."""

    def __init__(self, loaded: Loaded, url: str, keys: dict[str, str]) -> None:
        self.loaded = loaded
        self.url = url
        self.keys = keys
        self.http = httpx2.Client(timeout=20)

    def ask(self, method: str, path: str, role: str = "owner", *, body: Any = None, **options: Any) -> httpx2.Response:
        """One request; `path` below /v1/organization unless it begins with /v1 itself."""
        headers = {"authorization": f"Bearer {self.keys[role]}"} if role else {}
        path = path if path.startswith("/v1") or path == "/healthz" else ORG + path
        return self.http.request(method, self.url + path, headers=headers | options.pop("headers", {}), json=body, **options)

    def get(self, path: str, role: str = "owner", **options: Any) -> Any:
        answer = self.ask("GET", path, role, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, role: str = "owner") -> Any:
        answer = self.ask("POST", path, role, body={} if body is None else body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def delete(self, path: str, role: str = "owner") -> Any:
        answer = self.ask("DELETE", path, role)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, status: int, code: str, body: Any = None, role: str = "owner") -> str:
        """The message of a refusal with this status and code."""
        answer = self.ask(method, path, role, body=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        message: str = answer.json()["error"]["message"]
        return message

    def client(self, role: str = "owner") -> OpenAI:
        """OpenAI's own client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", admin_api_key=self.keys[role], max_retries=0)

    def actions(self) -> list[str]:
        """Types of all events of the audit log, newest first."""
        return [event["type"] for event in self.get("/audit_logs?limit=100")["data"]]


@contextlib.asynccontextmanager
async def planed(folder: Path, config: str = CONFIG) -> AsyncIterator[Plane]:
    loaded = load(initialise(folder, config))
    keys = {str(role): await issue(loaded, str(role), role=role) for role in Role}
    async with running(loaded) as server:
        running_plane = Plane(loaded, f"http://127.0.0.1:{server.port}", keys)
        with running_plane.http:
            yield running_plane


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """One control plane for all tests of a module; each makes projects of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(planed(folder)) as running_plane:
            yield running_plane
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(plane: Plane) -> str:
    """The id of a new project."""
    made: str = plane.post("/projects", {"name": "Payroll"})["id"]
    return made


def pepper_of(loaded: Loaded) -> bytes:
    source = loaded.settings.secrets.pepper
    return key_bytes(loaded.secret(source), source)
