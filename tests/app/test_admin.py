"""The control plane, put together: its own listener, TLS, and the store that it shares."""

from pathlib import Path

import httpx2
import pytest

from ollm.app.admin import administered, running
from ollm.app.initialise import initialise
from ollm.app.installation import store_of
from ollm.config.load import load
from ollm.errors import ConfigError
from ollm.store.issuing import create_key
from ollm.store.keys import NewKey
from ollm.values.identity import Role
from ollm.values.level import Level
from tests.serving.client import make_identity, trust

CONFIG = '[gateway]\ndurability = "process"\n[admin]\nlisten = "127.0.0.1:0"\n'


async def test_its_context(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, CONFIG + '[upstreams.acme]\nadapter = "openai"\n'))
    async with administered(loaded) as admin:
        assert admin.levels == {"acme": Level.ZDR}
        assert admin.config_digest == loaded.digest
        new = NewKey(name="ops", created_at=admin.clock.now(), role=Role.AUDITOR)
        await admin.store.administration.write("local_0", admin.clock.now(), lambda changes: create_key(changes, new, admin.pepper))
    async with store_of(loaded, role="admin") as store:
        assert [row.name for row in await store.keys.list()] == ["ops"]


async def test_it_runs_beside_the_data_planes_writer(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, CONFIG))
    async with store_of(loaded, role="gateway"), running(loaded) as server, httpx2.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/healthz")).json() == {"status": "ok"}
        assert (await client.get(f"http://127.0.0.1:{server.port}/v1/organization")).status_code == 401


async def test_tls_of_its_own(tmp_path: Path) -> None:
    config = initialise(tmp_path, CONFIG + 'tls_certificate = "admin.pem"\ntls_key = "admin.key"\n')
    identity = make_identity("localhost")
    (tmp_path / "admin.pem").write_bytes(identity.certificate)
    (tmp_path / "admin.key").write_bytes(identity.key.expose())
    async with running(load(config)) as server, httpx2.AsyncClient(verify=trust(identity)) as client:
        assert (await client.get(f"https://localhost:{server.port}/healthz")).status_code == 200


async def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    config = initialise(tmp_path, CONFIG + 'tls_certificate = "none.pem"\ntls_key = "none.key"\n')
    with pytest.raises(ConfigError):
        async with running(load(config)):
            pass
