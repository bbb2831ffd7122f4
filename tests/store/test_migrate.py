"""Which databases are taken, and how they come to this version's schema."""

import threading
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store import migrate
from ollm.store.sqlite import Store, open_store
from tests.store.making import ROW_KEY, raw, url


def opened(directory: Path, **options: object) -> Store:
    return open_store(url(directory), **({"row_key": ROW_KEY, "role": "admin"} | options))  # type: ignore[arg-type]


def test_revisions_are_the_files() -> None:
    versions = Path(migrate.__file__).parent / "migrations/versions"
    assert tuple(sorted(path.name[:4] for path in versions.glob("[0-9]*.py"))) == migrate.REVISIONS


async def test_opening_again_keeps_the_installation(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert first.installation_id == second.installation_id
    assert len(first.installation_id) == 32
    await first.close()
    await second.close()
    await opened(tmp_path, installation_id=first.installation_id).close()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    with raw(tmp_path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError) as refused:
        opened(tmp_path)
    assert "newer version" in refused.value.cause
    assert "run that version" in refused.value.mend


async def test_a_database_from_before_the_first_release_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    with raw(tmp_path) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(StoreError) as refused:
        opened(tmp_path)
    assert "before the first release" in refused.value.cause
    assert refused.value.mend == "name a new file"


async def test_another_row_key_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    with pytest.raises(StoreError, match="another row key"):
        opened(tmp_path, row_key=bytes(32))


async def test_another_installation_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    with pytest.raises(StoreError, match="another installation"):
        opened(tmp_path, installation_id="0" * 32)


def test_a_new_database_where_one_was_expected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is new"):
        opened(tmp_path, installation_id="0" * 32)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with raw(tmp_path) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="another program"):
        opened(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ollm.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="SQLITE_NOTADB"):
        opened(tmp_path)


async def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(opened(tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    assert len({store.installation_id for store in stores}) == 1
    for store in stores:
        await store.close()
