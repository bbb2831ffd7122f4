"""URLs of stores: what they name, and what is refused without being quoted."""

from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store.place import Server, place_of


def test_urls_name_files() -> None:
    assert place_of("sqlite:////var/lib/ollm/ollm.db") == Path("/var/lib/ollm/ollm.db")
    assert place_of("sqlite:///ollm.db") == Path.cwd() / "ollm.db"


def test_urls_name_servers() -> None:
    assert place_of("postgresql://ollm@db.example:6432/gateway") == Server("db.example", 6432, "ollm", "gateway")
    assert place_of("postgresql://ollm@db.example/gateway") == Server("db.example", 5432, "ollm", "gateway")
    assert place_of("postgresql://ollm@/gateway?host=/run/postgresql", tls=False) == Server("/run/postgresql", 5432, "ollm", "gateway", tls=False)


@pytest.mark.parametrize(
    "url",
    [
        *("", "ollm.db", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/db", "postgresql+asyncpg://u@h/db"),
        *("postgresql://h/db", "postgresql://u@h", "postgresql://u@/db", "postgresql://u@h/db?sslmode=disable", "postgresql://u@h:port/db"),
    ],
)
def test_other_urls_are_refused_with_a_mend(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        place_of(url)
    assert "sqlite:////" in refused.value.mend
    assert "secret" not in str(refused.value)


def test_a_password_in_a_url_is_refused_unquoted() -> None:
    with pytest.raises(StoreError, match="holds a password") as refused:
        place_of("postgresql://u:hunter2@h/db")
    assert "hunter2" not in str(refused.value)


def test_another_machine_is_reached_over_tls_alone() -> None:
    with pytest.raises(StoreError, match=r"store.tls is false, and db.example is another machine"):
        place_of("postgresql://u@db.example/db", tls=False)
    for here in ("postgresql://u@127.0.0.1/db", "postgresql://u@localhost/db", "postgresql://u@/db?host=/run/postgresql"):
        server = place_of(here, tls=False)
        assert isinstance(server, Server)
        assert server.is_local
