"""`ollm rules`: check, explain, test."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ollm.cli import app
from tests.cli.conftest import Ollm

CARD = "4111111111111111"
BASE = (
    '[[prompt]]\nname = "cards"\ndetect = "payment_card"\n[[prompt]]\nname = "mails"\ndetect = "email"\naction = "mask"\non = ["request", "answer"]\n'
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return path


def tried(*arguments: object, body: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rules", "test", *map(str, arguments)], input=body)
    return result.exit_code, result.output


def test_checked(ollm: Ollm, base: Path, tmp_path: Path) -> None:
    assert ollm("rules", "check", base).stdout.startswith("base  sha256:")
    assert list(json.loads(ollm("rules", "check", base, "--json").stdout)["rules"]) == ["base"]
    config = tmp_path / "ollm.toml"
    config.write_text('[gateway]\nrules = ["gone"]\n')
    assert "gateway.rules names rules 'gone'" in ollm("rules", "check", config, exits=2).output
    config.write_text('[[exceptions]]\nname = "e"\nkey = "k"\nlevel = "zdr"\nreason = "r"\nuntil = 2020-01-01T00:00:00Z\n[gateway]\n')
    assert "ended at 2020-01-01" in ollm("rules", "check", config, exits=2).output
    config.write_text("[gateway]\n")
    assert ollm("rules", "check", config).stdout == "no rules\n"


def test_explained(ollm: Ollm, base: Path) -> None:
    assert ollm("rules", "explain", "--file", base).stdout.splitlines()[0] == 'Rules "base":'
    document = json.loads(ollm("rules", "explain", "base", "--file", base, "--json").stdout)
    assert document["base"]["says"][0] == "  - cards: payment card in requests is refused"
    assert "has no rules 'other'" in ollm("rules", "explain", "other", "--file", base, exits=2).output


def test_tried_on_a_request(base: Path) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"pay {CARD}, mail a@example.com"}]})
    code, output = tried("--file", base, body=body)
    assert code == 1
    assert output.splitlines() == [
        "block  base/cards  /messages/0/content  characters 4 to 20",
        "mask   base/mails  /messages/0/content  characters 27 to 40",
    ]
    code, output = tried("base", "--file", base, "--json", body=body)
    assert [each["rule"] for each in json.loads(output)["found"]] == ["base/cards", "base/mails"]
    assert CARD not in output


def test_tried_on_an_answer_and_on_nothing(base: Path) -> None:
    code, output = tried("--file", base, "--answer", body=json.dumps({"text": f"{CARD} a@example.com"}))
    assert (code, len(output.splitlines())) == (0, 1)
    assert tried("--file", base, body='{"text":"nothing to see"}') == (0, "no rule about texts would act\n")
    base.write_text('gpu = "required"\n')
    assert tried("--file", base, body="{}")[0] == 0


def test_no_request(base: Path) -> None:
    code, output = tried("--file", base, body="no JSON")
    assert code == 2
    assert "can't be read" in output
