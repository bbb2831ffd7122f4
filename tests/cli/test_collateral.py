"""`ollm collateral`: what a machine with a network stores, a machine without one can use."""

import json
import shutil
from pathlib import Path

import pytest

from ollm.app.demo import Stage
from ollm.net.collateral.archive import pack
from ollm.net.collateral.artefact import artefact
from ollm.net.collateral.shelf import Shelf
from tests.cli.conftest import Ollm
from tests.net.collateral.vendor import crl, crl_key


def state(config: Path) -> Path:
    return config.parent / "state" / "collateral"


def changed(config: Path, folder: Path, collateral: str) -> Path:
    """The configuration of another machine, with other words about collateral and nothing stored."""
    shutil.copytree(config.parent / "secrets", folder / "secrets")
    (folder / "ollm.toml").write_text(config.read_text().replace("[gateway]", f"[collateral]\n{collateral}\n\n[gateway]", 1))
    return folder / "ollm.toml"


@pytest.fixture
def filled(config: Path) -> Path:
    """A configuration with one list stored that holds for centuries, and one that ended."""
    shelf = Shelf(state(config))
    for subject, end in (("a CA", 9_000_000_000), ("an old CA", 1_700_000_001)):
        shelf.write(artefact(crl_key(subject), crl(issued=1_700_000_000, end=end), {}, 1_700_000_000), 1_700_000_000)
    return config


def test_what_is_stored_is_listed_with_its_ends(ollm: Ollm, filled: Path) -> None:
    text = ollm("collateral", "list", "-c", filled).output
    assert "stale root-crl" in text and "ends 2255-03-14 16:00" in text
    assert "ended root-crl" in text
    rows = json.loads(ollm("collateral", "list", "-c", filled, "--json").output)
    assert {row["subject"]: row["state"] for row in rows} == {"a CA": "stale", "an old CA": "ended"}


def test_nothing_stored_is_said_so(ollm: Ollm, config: Path) -> None:
    assert "Nothing is stored" in ollm("collateral", "list", "-c", config).output
    assert json.loads(ollm("collateral", "list", "-c", config, "--json").output) == []
    assert not state(config).exists()


def test_what_has_not_ended_is_carried_from_one_machine_to_another(ollm: Ollm, filled: Path, tmp_path: Path) -> None:
    archive = tmp_path / "c.tar"
    assert "1 artefacts" in ollm("collateral", "export", archive, "-c", filled).output
    told = json.loads(ollm("collateral", "export", tmp_path / "again.tar", "-c", filled, "--json").output)
    assert (told["first_end"], [row["subject"] for row in told["artefacts"]]) == (9_000_000_000, ["a CA"])
    assert archive.read_bytes() == (tmp_path / "again.tar").read_bytes()

    other = changed(filled, tmp_path / "other", "offline = true")
    assert "added root-crl" in ollm("collateral", "import", archive, "-c", other).output
    again = json.loads(ollm("collateral", "import", archive, "-c", other, "--json").output)
    assert [row["outcome"] for row in again] == ["unchanged"]
    assert [row["subject"] for row in json.loads(ollm("collateral", "list", "-c", other, "--json").output)] == ["a CA"]


def test_a_trusted_root_is_brought_by_its_operator(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    root = tmp_path / "trusted_root.json"
    root.write_text("{}")
    assert "added sigstore-root" in ollm("collateral", "import", "--sigstore-root", root, "-c", config).output
    root.write_text("[]")
    ollm("collateral", "import", "--sigstore-root", root, "-c", config, exits=2)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("export", "/nowhere/x.tar"), "nothing that holds is stored"),
        (("import",), "nothing to import is named"),
        (("import", "/nowhere/x.tar"), "can't read"),
        (("fetch",), "nothing to fetch is named"),
        (("fetch", "rome"), "names no collateral"),
        (("fetch", "--upstream", "nobody"), "no upstream 'nobody'"),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(ollm: Ollm, config: Path, arguments: tuple[str, ...], why: str) -> None:
    assert why in ollm("collateral", *arguments, "-c", config, exits=2).stderr


def test_a_file_that_is_no_archive_is_refused(ollm: Ollm, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"garbage")
    assert "no archive of collateral" in ollm("collateral", "import", tmp_path / "x.tar", "-c", filled, exits=2).stderr
    assert "can't write" in ollm("collateral", "export", "/nowhere/x.tar", "-c", filled, exits=2).stderr


def test_where_nothing_is_stored_there_is_nothing_to_do(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    nowhere = changed(config, tmp_path / "other", 'directory = ""')
    assert "nothing is stored here" in ollm("collateral", "list", "-c", nowhere, exits=2).stderr


def test_offline_nothing_is_fetched(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    closed = changed(config, tmp_path / "other", "offline = true")
    assert "offline is set" in ollm("collateral", "fetch", "snp:Genoa", "-c", closed, exits=2).stderr


def test_fetched_here_imported_there_a_provider_is_verified_without_a_collateral_service(ollm: Ollm, play: Stage, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(play.loaded.directory / "secrets", here / "secrets")
    (here / "ollm.toml").write_text((play.loaded.directory / "ollm.toml").read_text())
    fetched = json.loads(ollm("collateral", "fetch", "--upstream", "enclave", "-c", here / "ollm.toml", "--json").output)
    assert {row["kind"] for row in fetched} == {"tcb-info", "qe-identity", "pck-crl", "root-crl"}
    assert "fresh tcb-info" in ollm("collateral", "fetch", "--upstream", "debug-enclave", "-c", here / "ollm.toml").output, "though it is refused"
    ollm("collateral", "export", tmp_path / "c.tar", "-c", here / "ollm.toml")

    there = changed(here / "ollm.toml", tmp_path / "there", "offline = true")
    refused = json.loads(ollm("verify", "provider", "enclave", "-c", there, "--json", exits=1).output)
    failed = [check for check in refused["checks"] if check["outcome"] == "failed"]
    assert [(check["name"], "offline" in check["got"]) for check in failed] == [("evidence.fetch", True)]
    ollm("collateral", "import", tmp_path / "c.tar", "-c", there)
    assert json.loads(ollm("verify", "provider", "enclave", "-c", there, "--json").output)["accepted"]


def test_a_provider_that_can_not_be_reached_is_said_so(ollm: Ollm, play: Stage, tmp_path: Path) -> None:
    shutil.copytree(play.loaded.directory / "secrets", tmp_path / "secrets")
    (tmp_path / "ollm.toml").write_text((play.loaded.directory / "ollm.toml").read_text().replace(play.enclave.url, "https://127.0.0.1:1"))
    assert "of enclave can't be had" in ollm("collateral", "fetch", "--upstream", "enclave", "-c", tmp_path / "ollm.toml", exits=2).stderr


def test_an_archive_whose_time_is_over_ends_with_the_code_of_a_refusal(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    copy = artefact(crl_key(), crl(issued=1_700_000_000, end=1_700_000_001), {}, 1_700_000_000)
    (tmp_path / "c.tar").write_bytes(pack([copy]))
    assert "ended root-crl" in ollm("collateral", "import", tmp_path / "c.tar", "-c", config, exits=1).output
