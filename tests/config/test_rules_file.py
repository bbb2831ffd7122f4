"""[rules.NAME], [[exceptions]]: what is read, and what is refused with its cause and mend."""

from pathlib import Path

import pytest

from ollm.config import rules_file
from ollm.config.load import parse
from ollm.config.rules_file import check_in_time, read_rules
from ollm.errors import ConfigError
from ollm.values.hexes import sha256_of

PROMPT = '[[rules.base.prompt]]\nname = "cards"\ndetect = "payment_card"\n'
EXCEPTION = 'name = "trial"\nreason = "a trial"\nuntil = 2027-01-01T00:00:00Z\n'


def test_read() -> None:
    settings = parse(
        f'[gateway]\nrules = ["base"]\n[rules.base]\nrequire = "tee"\n{PROMPT}[[exceptions]]\n{EXCEPTION}key = "k"\nrule = "base/cards"\n'.encode()
    )
    assert settings.rules["base"].prompt[0].detect == "payment_card"
    assert settings.exceptions[0].rule == "base/cards"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('[gateway]\nrules = ["x"]', "gateway.rules names rules 'x', which is not configured"),
        ('[gateway]\nrules = ["base", "base"]\n[rules.base]', "twice"),
        ("[rules.base]\nfoo = 1", "unknown field `foo`"),
        ('[rules."a/b"]', "is no name of rules"),
        ('[rules.base]\nmodels = { allow = ["m"] }', "names model 'm'"),
        ('[rules.base]\nupstreams = { deny = ["u"] }', "names upstream 'u'"),
        ('[rules.base]\nendpoints = { deny = ["chat"] }', "is no endpoint"),
        ('[rules.base]\nregions = ["eu"]', "where no upstream is"),
        ("[rules.base.parameters]\nmax = { n = inf }", "is not finite"),
        (PROMPT + PROMPT, "two rules named 'cards'"),
        (PROMPT + 'pattern = "a"', "only one of detect"),
        (PROMPT + "longest = 9", "sets longest"),
        (PROMPT + 'mask = "x"', "its action is to block"),
        (PROMPT + 'on = ["answer", "answer"]', "names a side twice"),
        ('[[rules.base.prompt]]\nname = "p"\ndetect = "pattern"\npattern = "(a)\\\\1"', "no pattern that RE2 takes"),
        (f'[[exceptions]]\n{EXCEPTION}rule = "base"', "exactly one of key and project"),
        (f'[[exceptions]]\n{EXCEPTION}key = "k"', "exactly one of level and rule"),
        (f'[[exceptions]]\n{EXCEPTION}key = "k"\nlevel = "tee"', "lifts nothing"),
        (f'[[exceptions]]\n{EXCEPTION}key = "k"\nrule = "base"', "names rule 'base', which is not configured"),
        (f'{PROMPT}[[exceptions]]\n{EXCEPTION}key = "k"\nrule = "base/x"', "names rule 'base/x'"),
        (f'[[exceptions]]\n{EXCEPTION}key = "k"\nlevel = "zdr"\n' * 2, "two exceptions are named 'trial'"),
    ],
)
def test_refused(text: str, cause: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text.encode())
    assert cause in refused.value.cause
    assert refused.value.mend


def test_without_the_library_of_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_file, "available", lambda: False)
    with pytest.raises(ConfigError, match=r"ollm\[patterns\]"):
        parse(b'[[rules.base.prompt]]\nname = "p"\ndetect = "pattern"\npattern = "a"')


def test_an_exception_ends() -> None:
    settings = parse(f'[[exceptions]]\n{EXCEPTION}key = "k"\nlevel = "zdr"'.encode())
    check_in_time(settings, 1798761599)
    with pytest.raises(ConfigError, match="ended at 2027-01-01"):
        check_in_time(settings, 1798761600)


def test_a_file_of_its_own_is_pinned(tmp_path: Path) -> None:
    file = tmp_path / "base.toml"
    file.write_text('gpu = "required"\n')
    assert read_rules(file)["base"].gpu == "required"
    digest = sha256_of(file.read_bytes()).removeprefix("sha256:")
    table = f'[rules.base]\nfile = "base.toml"\nsha256 = "{digest}"\n'
    assert parse(table.encode(), tmp_path).rules["base"].gpu == "required"
    file.write_text('gpu = "required"\n# changed\n')
    with pytest.raises(ConfigError, match="ollm rules explain"):
        parse(table.encode(), tmp_path)
