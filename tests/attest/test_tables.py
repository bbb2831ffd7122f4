"""The tables of checks together: one meaning for each name."""

import re

from ollm.attest.tables import ALL_CHECKS, TABLES


def test_every_check_says_what_it_proves_and_who_demands_it() -> None:
    for name, proof in ALL_CHECKS.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)
        assert proof.proves
        assert not proof.proves.endswith(".")
        assert proof.source


def test_a_name_in_two_tables_means_one_thing() -> None:
    for table in TABLES:
        for name, proof in table.items():
            assert ALL_CHECKS[name] == proof, name
