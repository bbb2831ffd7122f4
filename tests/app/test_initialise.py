"""`ollm init`: private files, fresh secrets, and nothing overwritten."""

import os
import stat
from pathlib import Path

import pytest

from ollm.app.initialise import initialise, write_private
from ollm.errors import ConfigError

SECRETS = {"pepper", "row-key", "receipt-key"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_installation_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = initialise(tmp_path / "new" / "place", "# config\n")
    finally:
        os.umask(old)
    assert path == tmp_path / "new" / "place" / "ollm.toml"
    assert path.read_text() == "# config\n"
    files = {each.name: each for each in (path.parent / "secrets").iterdir()}
    assert set(files) == SECRETS
    assert {mode(each) for each in (path, *files.values())} == {0o600}
    assert mode(path.parent / "secrets") == 0o700
    assert all(len(bytes.fromhex(each.read_text())) == 32 for each in files.values())
    assert len({each.read_text() for each in files.values()}) == 3


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    initialise(tmp_path, "first")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as refused:
        initialise(tmp_path, "second")
    assert "exists already" in refused.value.cause
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_secrets_of_an_installation_that_lost_its_configuration_are_kept(tmp_path: Path) -> None:
    initialise(tmp_path, "first")
    pepper = (tmp_path / "secrets" / "pepper").read_bytes()
    (tmp_path / "ollm.toml").unlink()
    initialise(tmp_path, "second")
    assert (tmp_path / "secrets" / "pepper").read_bytes() == pepper


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep me")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError):
        write_private(tmp_path / "link", b"x")
    assert (tmp_path / "target").read_text() == "keep me"


def test_a_place_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as refused:
        initialise(tmp_path / "file" / "below", "x")
    assert str(tmp_path / "file" / "below") in refused.value.cause
    with pytest.raises(ConfigError):
        write_private(tmp_path / "none" / "file", b"x")
