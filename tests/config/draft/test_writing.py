"""TOML that is written by hand: comments, values, and names of files that try to be more than names."""

import tomllib

import pytest

from ollm.attest.evidence import SnpEvidence
from ollm.config.draft.writing import Source, comment, doubts, entry, is_simulated, named, sets, toml
from ollm.errors import EvidenceRefused
from ollm.testing.mint.x509 import create_root, issue
from ollm.values.policy import SnpTcb
from tests.sim.hardware import NOW


def source(file: str = "quote.bin") -> Source:
    return Source(file, "ab" * 32, SnpEvidence(report=b""))


@pytest.mark.parametrize("value", ["text", 'with "quotes" and \\', True, 3, ["a", "b"], [], {"snp": 4, "tee": 0}])
def test_values_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}") == {"x": value}


def test_structs_become_tables() -> None:
    assert toml(SnpTcb(snp=4)) == "{ bootloader = 0, tee = 0, snp = 4, microcode = 0, fmc = 0 }"


def test_an_entry_under_its_comment() -> None:
    assert entry("a", 1, "Why.") == ["# Why.", "a = 1"]
    assert entry("a", 1, suggested=True) == ["# a = 1"]
    assert max(map(len, comment("word " * 100))) <= 120


def test_a_files_name_stays_a_name() -> None:
    """A name may hold anything but a slash and NUL; a line break in it would begin a line of TOML."""
    cited = source('x"\nreviewed = "me\u202e').cited
    assert cited == f'x"?reviewed = "me? (sha256 {"ab" * 32})'
    assert tomllib.loads("\n".join(named("n", source('x"\nreviewed = true'))))["source"].endswith("; NOT REVIEWED")
    assert len(source("x" * 5000).cited) < 200


def test_equal_measurements_are_one_set() -> None:
    lines = sets("tdx", "acme", [(source("one"), ["mrtd = 1"]), (source("two"), ["mrtd = 1"]), (source("three"), ["mrtd = 2"])])
    tables = tomllib.loads("\n".join(lines))["tdx"]["reference_values"]
    assert [(table["name"], table["mrtd"]) for table in tables] == [("acme-1", 1), ("acme-2", 2)]
    assert "one (sha256" in tables[0]["source"]


def test_what_checks_refuse_is_told() -> None:
    def refuse() -> None:
        raise EvidenceRefused("quote.debug", "debug mode", "a production TD")

    assert doubts(lambda: None, refuse) == ("quote.debug: got debug mode, want a production TD",)


def test_simulated_hardware_says_so() -> None:
    root = create_root("root", NOW)
    for marked in (True, False):
        leaf = issue("leaf", root, start=NOW, end=NOW + 60, authority=False, marked=marked)
        assert is_simulated(leaf.der, "device.certificates") is marked
    with pytest.raises(EvidenceRefused, match=r"device\.certificates"):
        is_simulated(b"", "device.certificates")
