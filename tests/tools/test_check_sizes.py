"""Sizes: what is over a cap is found with its line, what is at the cap is not."""

from tools.check_sizes import FUNCTION_LINES, MODULE_LINES, findings


def function(lines: int) -> str:
    return "def f() -> None:\n" + "    pass\n" * (lines - 1)


def test_at_the_caps_nothing_is_found() -> None:
    assert list(findings(function(FUNCTION_LINES))) == []
    assert list(findings("x = 1\n" * MODULE_LINES)) == []
    assert list(findings("def f(a, b, c, d, e, f, *, g, h): ...\n")) == []
    assert list(findings("class C:\n    def f(self, a, b, c, d, e, f): ...\n")) == []


def test_a_long_module() -> None:
    assert list(findings("x = 1\n" * (MODULE_LINES + 1))) == ["1: module has 401 lines, the cap is 400: it is probably two things"]


def test_a_long_function() -> None:
    assert list(findings("\n" + function(FUNCTION_LINES + 1))) == ["2: function f has 61 lines, the cap is 60"]


def test_too_many_positional_parameters() -> None:
    assert list(findings("def f(a, b, c, d, e, f, g): ...\n")) == ["1: function f has 7 positional parameters, the cap is 6"]


def test_options_of_a_command_are_not_positional() -> None:
    assert list(findings("@app.command()\ndef f(a, b, c, d, e, f, g): ...\n")) == []
