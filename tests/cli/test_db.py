"""`ollm db`: upgraded, copied, brought back, looked at; the same commands on SQLite and on PostgreSQL."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.app.build import data_directory, place_of_store, store_of
from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.store.migrate import REVISIONS
from tests.cli.conftest import Ollm
from tests.servers.postgres import Postgres, postgres
from tests.store.making import entry

__all__ = ["postgres"]

BOTH = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.process])]
LISTEN = '[gateway]\nlisten = "127.0.0.1:0"\n'


def on_server(folder: Path, server: Postgres) -> Path:
    """A configuration of a new installation on a new database of the server."""
    folder.mkdir(exist_ok=True)
    (folder / "password").write_text(server.password)
    (folder / "password").chmod(0o600)
    store = f'[store]\nurl = "{server.url(server.database())}"\npassword = "file:password"\ntls = false\n'
    return initialise(folder, LISTEN + store)


@pytest.fixture(params=BOTH)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A fresh configuration on either kind of database."""
    if request.param == "sqlite":
        yield initialise(tmp_path, LISTEN)
    else:
        yield on_server(tmp_path, request.getfixturevalue("postgres"))


def filled(config: Path, count: int) -> None:
    async def fill() -> None:
        async with store_of(load(config), role="gateway") as store:
            await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(count)))

    asyncio.run(fill())


def copied_secrets(config: Path, folder: Path) -> Path:
    """Another installation's configuration on SQLite, with the secrets of this one."""
    folder.mkdir()
    other = initialise(folder, LISTEN)
    for secret in (config.parent / "secrets").iterdir():
        (folder / "secrets" / secret.name).write_bytes(secret.read_bytes())
    return other


def test_upgrade_says_the_revision_and_rolls_up(ollm: Ollm, config: Path) -> None:
    filled(config, 7)
    assert json.loads(ollm("db", "upgrade", "--json", "-c", config).stdout) == {"revision": REVISIONS[-1], "rolled_up": 7}
    assert f"revision {REVISIONS[-1]}; 0 entries" in ollm("db", "upgrade", "-c", config).stdout


def test_a_backup_comes_back_elsewhere(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    key = json.loads(ollm("keys", "create", "app", "--json", "-c", config).stdout)
    filled(config, 5)
    file = tmp_path / "backup"
    told = json.loads(ollm("db", "backup", file, "--json", "-c", config).stdout)
    assert told == {"file": str(file), "bytes": file.stat().st_size}
    assert file.stat().st_mode & 0o777 == 0o600
    other = copied_secrets(config, tmp_path / "other")
    rows = json.loads(ollm("db", "restore", file, "--json", "-c", other).stdout)["rows"]
    assert (rows["ledger"], rows["receipts"], rows["api_keys"]) == (5, 5, 1)
    assert [row["id"] for row in json.loads(ollm("keys", "list", "--json", "-c", other).stdout)] == [key["id"]]
    assert "isn't empty" in ollm("db", "restore", file, "-c", other, exits=2).stderr


def test_a_backup_of_another_installations_key_is_refused(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    ollm("db", "backup", file, "-c", config)
    (tmp_path / "other").mkdir()
    other = initialise(tmp_path / "other", LISTEN)
    assert "another row key" in ollm("db", "restore", file, "-c", other, exits=2).stderr


def test_nothing_is_overwritten(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(b"mine")
    assert "exists" in ollm("db", "backup", file, "-c", config, exits=2).stderr
    assert file.read_bytes() == b"mine"


def test_check_tells_each_finding_and_ends_1_for_a_bad_one(ollm: Ollm, tmp_path: Path) -> None:
    config = initialise(tmp_path, LISTEN)
    ollm("keys", "create", "app", "-c", config)
    assert ollm("db", "check", "-c", config).stdout.splitlines()[0] == "ok  the file is whole"
    findings = json.loads(ollm("db", "check", "--json", "-c", config).stdout)
    assert [finding["ok"] for finding in findings] == [True] * 4
    with sqlite3.connect(data_directory(load(config)) / "ollm.db") as database:
        database.execute("UPDATE api_keys SET role = 'owner'")
    database.close()
    assert "no  rows have their own MAC: 1 of api_keys don't" in ollm("db", "check", "-c", config, exits=1).stdout


@pytest.mark.slow
@pytest.mark.process
def test_check_on_a_server(ollm: Ollm, postgres: Postgres, tmp_path: Path) -> None:
    config = on_server(tmp_path, postgres)
    findings = json.loads(ollm("db", "check", "--json", "-c", config).stdout)
    assert {finding["check"] for finding in findings} >= {"tomorrow has its partitions", "the server keeps what it says it keeps"}
    assert all(finding["ok"] for finding in findings)


def test_a_password_never_shows(ollm: Ollm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLM_TEST_PASSWORD", "hunter2")
    config = initialise(tmp_path, LISTEN + '[store]\nurl = "postgresql://u@127.0.0.1:1/db"\npassword = "env:OLLM_TEST_PASSWORD"\n')
    assert "hunter2" not in repr(place_of_store(load(config)))
    refused = ollm("db", "check", "-c", config, exits=2)
    assert "can't be reached" in refused.stderr
    assert "hunter2" not in refused.output + refused.stderr
