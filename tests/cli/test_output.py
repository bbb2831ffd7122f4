"""How the command line speaks."""

import json

import pytest
import typer

from ollm.cli.mends import mend
from ollm.cli.output import amount, appraisal_document, check_document, emit, fail, quiet, say, short, show_checks, show_table
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.level import Level

CHECKS = (
    Check("quote.format", Outcome.PASSED),
    Check("tcb.status", Outcome.PASSED, "UpToDate", "one of UpToDate"),
    Check("compose.hash", Outcome.FAILED, "[red]aa[/]", "bb"),
    Check("compose.accepted", Outcome.NOT_REACHED),
)


def test_emit_is_one_json_document_untouched_by_markup(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"key": "[bold]", "text": "ü" * 300, "list": [1, None, True]}
    emit(document)
    written = capsys.readouterr().out
    assert json.loads(written) == document
    assert "ü" in written


def test_text_from_elsewhere_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"[bold]{quiet('[red]name[/]')}[/]")
    assert capsys.readouterr().out == "[red]name[/]\n"


def test_a_long_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("mend", "code", "line"), [("mend it", 2, "ollm: [it] broke — mend it\n"), ("", 1, "ollm: [it] broke\n")])
def test_fail_ends_with_one_line_on_standard_error(capsys: pytest.CaptureFixture[str], mend: str, code: int, line: str) -> None:
    with pytest.raises(typer.Exit) as end:
        fail("[it] broke", mend, code=code)
    assert end.value.exit_code == code
    assert capsys.readouterr() == ("", line)


def test_checks_say_what_they_got_and_a_failed_one_what_it_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks(CHECKS)
    passed, got, failed, unreached = capsys.readouterr().out.splitlines()
    assert passed.split(maxsplit=2)[:2] == ["✓", "quote.format"]
    assert len(passed.split(maxsplit=2)) == 3, "what it proves stands there when there is nothing to tell"
    assert got.split() == ["✓", "tcb.status", "UpToDate"]
    assert failed.split() == ["✗", "compose.hash", "got", "[red]aa[/],", "want", "bb"]
    assert unreached.split() == ["·", "compose.accepted", "not", "reached"]


def test_a_check_that_the_tables_do_not_know_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks((Check("other.check", Outcome.PASSED),))
    assert capsys.readouterr().out.split() == ["✓", "other.check"]


def test_short_cuts_and_says_so() -> None:
    assert short("abc", 3) == "abc"
    assert short("abcd", 3) == "ab…"


def test_an_appraisal_as_json() -> None:
    document = appraisal_document(Appraisal("near", Level.TEE, CHECKS, valid_until=7))
    assert json.loads(json.dumps(document)) == document
    assert (document["accepted"], document["policy"], document["level"], document["valid_until"]) == (False, "near", "tee", 7)
    failed = document["checks"][2]
    assert (failed["name"], failed["outcome"], failed["got"], failed["want"]) == ("compose.hash", "failed", "[red]aa[/]", "bb")
    assert failed["proves"].startswith("the application's definition")
    assert failed["source"] == "dstack attestation guide"
    assert failed["mend"] == mend("compose.hash")
    assert "mend" not in document["checks"][0]
    assert "target" not in failed
    assert document["claims"]["tee_attested"] == {"status": "unknown"}


def test_a_device_is_named_and_an_unknown_check_stands_alone() -> None:
    assert check_document(Check("nobody.knows", Outcome.PASSED, target="device1")) == {
        "name": "nobody.knows",
        "outcome": "passed",
        "got": "",
        "want": "",
        "target": "device1",
    }


def test_a_table_has_columns_and_a_free_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("A", "NAME", "NOTE"), [("[x]", "n", "[green]fine[/]"), ("long one", "", "-")])
    assert capsys.readouterr().out == "A         NAME  NOTE\n[x]       n     fine\nlong one        -\n"


@pytest.mark.parametrize(("micro", "shown"), [(0, "0"), (1, "0.000001"), (150_000, "0.15"), (1_000_000, "1"), (12_500_000, "12.5")])
def test_prices_in_whole_units(micro: int, shown: str) -> None:
    assert amount(micro) == shown
