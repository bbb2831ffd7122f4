"""Connections to PostgreSQL: what libpq is told, and what becomes of a server that hangs or goes."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from ollm.errors import StoreError
from ollm.store import keyring
from ollm.store.keys import NewKey, authenticate
from ollm.store.place import Server
from ollm.store.postgres import GenerationWatch, connect_alone, connect_server, conninfo, cut
from ollm.store.sqlite import open_store
from ollm.values.secret import Sealed
from tests.servers.postgres import Postgres
from tests.store.conftest import place_on
from tests.store.making import CANARY, PEPPER, ROW_KEY, entry, eventually

FIELDS = ("request_id", "key_id", "endpoint", "model", "upstream", "level", "session_id", "price_version", "http_status", "cost_micro")
REMOTE = Server("db.example", 5432, "ollm", "gateway", Sealed(b"hunter2"))


def told(server: Server) -> dict[str, object]:
    return dict(psycopg.conninfo.conninfo_to_dict(conninfo(server)))


def test_another_machine_must_show_a_certificate_for_its_name() -> None:
    assert told(REMOTE)["sslmode"] == "verify-full"
    assert told(REMOTE)["sslrootcert"] == "system"
    ours = Server("db.example", 5432, "ollm", "gateway", tls_ca=Path("/etc/ca.pem"))
    assert (told(ours)["sslmode"], told(ours)["sslrootcert"]) == ("verify-full", "/etc/ca.pem")


def test_what_stays_on_this_machine_needs_none() -> None:
    assert told(Server("/run/postgresql", 5432, "ollm", "gateway"))["sslmode"] == "disable"
    assert told(Server("127.0.0.1", 5432, "ollm", "gateway"))["sslmode"] == "disable"
    assert told(Server("127.0.0.1", 5432, "ollm", "gateway", tls_ca=Path("/ca.pem")))["sslmode"] == "verify-full"


def test_a_server_that_is_not_there_is_refused_without_its_password(unused_tcp_port: int) -> None:
    place = Server("127.0.0.1", unused_tcp_port, "ollm", "gateway", Sealed(b"hunter2"), tls=False)
    with pytest.raises(StoreError, match="can't be reached") as refused:
        open_store(place, row_key=ROW_KEY, role="admin")
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(place)


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
@pytest.mark.process
class TestOnAServer:
    def test_a_wrong_password_is_refused(self, postgres: Postgres) -> None:
        place = Server("127.0.0.1", postgres.port, "ollm", "postgres", Sealed(b"hunter2"), tls=False)
        with pytest.raises(StoreError) as refused:
            open_store(place, row_key=ROW_KEY, role="admin")
        assert "hunter2" not in str(refused.value)

    def test_a_gateway_without_a_folder_is_refused(self, postgres: Postgres) -> None:
        with pytest.raises(StoreError, match="no folder for its journal"):
            open_store(place_on(postgres, postgres.database()), row_key=ROW_KEY)

    async def test_many_may_open_a_new_database_at_once(self, postgres: Postgres) -> None:
        place = place_on(postgres, postgres.database())
        stores = await asyncio.gather(*(asyncio.to_thread(open_store, place, row_key=ROW_KEY, role="admin") for _ in range(5)))
        assert len({store.installation_id for store in stores}) == 1
        for store in stores:
            await store.close()

    def test_the_pool_notices_connections_that_the_server_closed(self, own_postgres: Callable[..., Postgres]) -> None:
        server = own_postgres()
        place = place_on(server, "postgres")
        assert isinstance(place, Server)
        engine = connect_server(place)
        for _ in range(2):
            with engine.begin() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1
            server.restart()
        engine.dispose()

    async def test_a_connection_that_hangs_is_cut(self, postgres: Postgres) -> None:
        place = place_on(postgres, "postgres")
        assert isinstance(place, Server)
        connection = await connect_alone(place)
        asyncio.get_running_loop().call_later(0.1, cut, connection)
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT pg_sleep(20)")
        assert time.monotonic() - began < 5
        await connection.close()

    async def test_the_watch_answers_in_time_or_fails_and_comes_back(self, own_postgres: Callable[..., Postgres]) -> None:
        server = own_postgres()
        place = place_on(server, server.database())
        assert isinstance(place, Server)
        await open_store(place, row_key=ROW_KEY, role="admin").close()
        watch = GenerationWatch(place)
        assert await watch.generation(5) >= 0
        server.pause()
        began = time.monotonic()
        with pytest.raises(StoreError):
            await watch.generation(0.2)
        assert time.monotonic() - began < 3
        server.go_on()
        assert await watch.generation(5) >= 0
        server.restart(signal.SIGKILL)
        with pytest.raises(StoreError):
            await watch.generation(5)
        assert await watch.generation(5) >= 0
        await watch.close()

    async def test_keys_are_not_trusted_while_the_server_is_away(
        self, own_postgres: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keyring, "POLL_SECONDS", 0.02)
        server = own_postgres()
        async with open_store(place_on(server, server.database()), row_key=ROW_KEY, role="admin") as store:
            key, _ = await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
            monkeypatch.setattr(type(store.keys._watch), "misses", 20)
            server.stop()
            assert authenticate(key, store.keys, PEPPER, 2) is not None  # for a moment
            await eventually(lambda: authenticate(key, store.keys, PEPPER, 2) is None, seconds=10)
            server.start()
            await eventually(lambda: authenticate(key, store.keys, PEPPER, 2) is not None, seconds=10)

    async def test_a_servers_log_holds_no_content(self, own_postgres: Callable[..., Postgres], tmp_path: Path) -> None:
        server = own_postgres()
        async with open_store(place_on(server, server.database()), row_key=ROW_KEY, folder=tmp_path) as store:
            for field in (
                "request_id",
                "key_id",
                "endpoint",
                "model",
                "upstream",
                "level",
                "session_id",
                "price_version",
                "http_status",
                "cost_micro",
            ):
                with pytest.raises(StoreError):
                    await store.ledger.complete(entry(**{field: CANARY}))
            await store.ledger.complete(entry())
        server.execute("CHECKPOINT")
        assert not [path for path in server.files if CANARY.encode() in path.read_bytes()]
        assert server.log
