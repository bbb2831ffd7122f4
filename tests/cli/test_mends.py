"""Every refusal tells what to do, and no advice is left over."""

from ollm.attest.tables import ALL_CHECKS
from ollm.cli.mends import MENDS, mend


def test_every_check_has_a_mend() -> None:
    for name in ALL_CHECKS:
        assert mend(name), name
        assert not mend(name).endswith(".")


def test_no_mend_is_for_a_check_that_does_not_exist() -> None:
    known = {*ALL_CHECKS, *(name.partition(".")[0] for name in ALL_CHECKS)}
    assert set(MENDS) <= known


def test_the_checks_own_mend_comes_before_that_of_its_group() -> None:
    assert mend("quote.debug") != mend("quote.signature") == MENDS["quote"]


def test_what_is_not_known_has_none() -> None:
    assert mend("nobody.knows") == ""
