"""Policies in files of their own: pinned by their bytes, refused as drafts, and every mistake told with its mend."""

from pathlib import Path

import pytest

from ollm.config.load import load
from ollm.config.policy_file import MAX_POLICY, converted, policy_of, read_document, read_limited, toml_table
from ollm.config.settings import SecretSources
from ollm.errors import ConfigError
from ollm.values.hexes import sha256_of
from ollm.values.level import Level
from tests.config.samples import REGISTER, ROOT

RULES = f"""\
level = "tee"
reviewed = "the tests, today"

[[tdx.reference_values]]
name = "acme 1.4"
source = "rebuilt"
mrtd = "{REGISTER}"
compose_hashes = ["{ROOT}"]
"""


def write(folder: Path, text: str | bytes, name: str = "acme.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def digest(path: Path) -> str:
    return sha256_of(path.read_bytes()).removeprefix("sha256:")


def configuration(folder: Path, policy: str) -> Path:
    return write(folder, f"[policies.acme]\n{policy}", "ollm.toml")


def refused(path: Path) -> ConfigError:
    """What loading the configuration at `path` says."""
    with pytest.raises(ConfigError) as refusal:
        load(path)
    assert refusal.value.mend, "an error without its mend"
    return refusal.value


def test_the_rules_may_stand_in_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "policies", RULES)
    settings = load(configuration(tmp_path, f'file = "policies/acme.toml"\nsha256 = "{digest(path)}"')).settings
    indented = RULES.replace("[[tdx", "[[policies.acme.tdx")
    assert settings.policies == load(configuration(tmp_path, indented)).settings.policies
    policy = settings.policies["acme"]
    assert (policy.name, policy.level, policy.reviewed) == ("acme", Level.TEE, "the tests, today")


def test_the_path_is_relative_to_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, RULES)
    config = configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load(config).settings.policies["acme"].tdx.reference_values[0].name == "acme 1.4"


def test_another_digest_is_refused_and_the_files_own_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, RULES)
    pinned = digest(path)
    path.write_text(RULES + "# another byte\n")
    problem = refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{pinned}"'))
    assert problem.cause == f"acme.toml has SHA-256 {digest(path)}, and policies.acme pins '{pinned}'"
    assert problem.mend == f'review it (`ollm policy explain acme.toml`), then write sha256 = "{digest(path)}"'


def test_a_file_without_a_digest_is_no_trust_decision(tmp_path: Path) -> None:
    path = write(tmp_path, RULES)
    problem = refused(configuration(tmp_path, 'file = "acme.toml"'))
    assert problem.cause == "policies.acme names acme.toml without its sha256"
    assert digest(path) in problem.mend


def test_a_digest_in_capitals_is_another(tmp_path: Path) -> None:
    path = write(tmp_path, RULES)
    assert "pins" in refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path).upper()}"')).cause


def test_rules_stand_in_one_place(tmp_path: Path) -> None:
    path = write(tmp_path, RULES)
    problem = refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"\nlevel = "tee"\nrequire_compose = false'))
    assert problem.cause == "policies.acme names a file and has level, require_compose beside it"


def test_a_file_names_no_further_file(tmp_path: Path) -> None:
    path = write(tmp_path, f'file = "other.toml"\nsha256 = "{ROOT}"\n')
    assert refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"')).cause == "acme.toml names another file"


@pytest.mark.parametrize("line", [f'sha256 = "{ROOT}"', f'file = 3\nsha256 = "{ROOT}"'])
def test_the_two_keys_are_texts_and_both_there(tmp_path: Path, line: str) -> None:
    problem = refused(configuration(tmp_path, line))
    assert problem.cause.startswith("policies.acme: ")
    assert "`file`" in problem.cause or "`str`" in problem.cause


def test_errors_inside_a_file_name_the_file_and_the_field(tmp_path: Path) -> None:
    path = write(tmp_path, RULES.replace('source = "rebuilt"', "source = 3"))
    problem = refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"'))
    assert problem.cause == "acme.toml: Expected `str`, got `int` - at `tdx.reference_values[0].source`"
    path.write_text("level = \n")
    assert refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"')).cause.startswith("acme.toml is not TOML: ")


def test_a_policys_name_stands_in_the_configuration(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "other"\n' + RULES)
    problem = refused(configuration(tmp_path, f'file = "acme.toml"\nsha256 = "{digest(path)}"'))
    assert problem.cause == "acme.toml.name is 'other'"
    assert "leave it out" in problem.mend


@pytest.mark.parametrize("inline", [True, False])
def test_a_draft_is_refused_wherever_it_stands(tmp_path: Path, inline: bool) -> None:
    text = 'reviewed = false\nlevel = "tee"\n'
    path = write(tmp_path, text)
    problem = refused(configuration(tmp_path, text if inline else f'file = "acme.toml"\nsha256 = "{digest(path)}"'))
    assert problem.cause == f"{'policies.acme' if inline else 'acme.toml'} is a draft that nobody has reviewed"
    assert 'reviewed = "who, when, against what"' in problem.mend


@pytest.mark.parametrize("word", ["true", '""', '"  "', "3"])
def test_a_review_says_something(tmp_path: Path, word: str) -> None:
    assert refused(configuration(tmp_path, f'level = "tee"\nreviewed = {word}')).cause == "policies.acme.reviewed says nothing"


def test_a_file_is_read_for_people_drafts_included(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, RULES.replace('"the tests, today"', "false")))
    assert document.draft
    assert document.policy.name == "acme"
    assert document.policy.reviewed is None
    with pytest.raises(ConfigError, match="is a draft"):
        document.check_usable()
    reviewed = read_document(write(tmp_path, RULES), "near")
    assert not reviewed.draft
    assert reviewed.policy.name == "near"
    assert reviewed.digest == sha256_of(RULES.encode())
    reviewed.check_usable()


def test_a_review_of_the_whole_does_not_excuse_a_set_that_nobody_reviewed(tmp_path: Path) -> None:
    text = RULES.replace('"rebuilt"', '"drafted from quote.bin; NOT REVIEWED"')
    with pytest.raises(ConfigError, match=r"reference values 'acme 1\.4' says that nobody reviewed them"):
        read_document(write(tmp_path, text)).check_usable()
    with pytest.raises(ConfigError, match="nobody reviewed them"):
        policy_of("acme", toml_table(text.encode(), "x"), tmp_path)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_limited(tmp_path / "absent")
    with pytest.raises(ConfigError, match="there is no file"):
        read_limited(tmp_path)
    assert read_limited(write(tmp_path, b"x" * MAX_POLICY)) == b"x" * MAX_POLICY
    with pytest.raises(ConfigError, match=f"is larger than {MAX_POLICY} bytes"):
        read_limited(write(tmp_path, b"x" * (MAX_POLICY + 1)))


def test_a_file_that_others_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, RULES)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ConfigError) as refusal:
        read_limited(path)
    assert refusal.value.cause == f"can't read {path}: Permission denied"


@pytest.mark.parametrize(
    ("data", "told"), [(b"\xff", "is not UTF-8"), (b"[", "is not TOML: "), (b"x = " + b"[" * 100_000, "is not TOML: it nests too deeply")]
)
def test_bytes_that_are_no_toml(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        toml_table(data, "the file")
    assert refusal.value.cause.startswith(f"the file {told}")


def test_a_table_becomes_a_struct_or_an_error_that_names_it() -> None:
    assert converted({"pepper": "env:P"}, SecretSources, "secrets") == SecretSources(pepper="env:P")
    with pytest.raises(ConfigError, match=r"^secrets: Expected `str`, got `int` - at `pepper`"):
        converted({"pepper": 3}, SecretSources, "secrets")
