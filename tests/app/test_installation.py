"""Where an installation's state is, and what its routes are worth."""

import stat
from pathlib import Path

import pytest

from ollm.app.initialise import initialise
from ollm.app.installation import data_directory, level_of, store_of
from ollm.config.load import load
from ollm.errors import ConfigError, StoreError
from ollm.values.level import Level


def test_the_directory_is_its_owners(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, '[gateway]\ndata_dir = "deep/state"\n'))
    path = data_directory(loaded)
    assert path == tmp_path / "deep" / "state"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_directory_that_can_not_be_one(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, '[gateway]\ndata_dir = "ollm.toml"\n'))
    with pytest.raises(ConfigError, match="can't use data directory"):
        data_directory(loaded)


async def test_one_gateway_and_any_number_of_admins(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, ""))
    async with store_of(loaded, role="gateway") as first, store_of(loaded, role="admin") as second, store_of(loaded, role="admin"):
        assert first.installation_id == second.installation_id
        with pytest.raises(StoreError):
            store_of(loaded, role="gateway")


def test_a_route_without_evidence_is_worth_a_contract(tmp_path: Path) -> None:
    assert level_of(load(initialise(tmp_path, '[upstreams.acme]\nadapter = "openai"\n')), "acme") is Level.ZDR
