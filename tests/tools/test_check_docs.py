"""Documentation and source agree now, and each way of disagreeing is found."""

import subprocess
from pathlib import Path

import pytest

from tools import check_docs as docs
from tools import checks_page


def test_the_project_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main() == 0, capsys.readouterr().out


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "README.md").write_text("# Home\n\n[a](a.md) [there](a.md#the-other-half) [outside](https://example.org)\n")
    (tmp_path / "a.md").write_text("# A\n\n## The *other* `half`!\n\n[home](README.md)\n")
    return tmp_path


def test_links_that_resolve(project: Path) -> None:
    assert list(docs.broken_links(project)) == []


def test_links_that_lead_nowhere(project: Path) -> None:
    (project / "a.md").write_text("[x](gone.md) [y](README.md#gone)\n\n```md\n[z](not-a-link.md)\n```\n")
    (project / "README.md").write_text("# Home\n\n[a](a.md)\n")
    assert list(docs.broken_links(project)) == [
        "a.md: link to gone.md, which doesn't exist",
        "a.md: link to README.md#gone, which has no such heading",
    ]


def test_a_document_without_a_link_to_it(project: Path) -> None:
    (project / "lost.md").write_text("# Lost\n")
    assert list(docs.broken_links(project)) == ["lost.md: no document links to it"]


def test_configuration_keys_and_defaults() -> None:
    text = docs.read("docs/reference/config.md")
    assert list(docs.config_findings(text)) == []
    assert list(docs.config_findings(text.replace('| `gateway.floor` | `"tee"` |', '| `gateway.floor` | `"simulated"` |'))) == [
        'docs/reference/config.md: gateway.floor has the default `"tee"`, not `"simulated"`'
    ]
    assert list(docs.config_findings(text.replace("| `gateway.floor` |", "| `gateway.flor` |"))) == [
        "docs/reference/config.md: key gateway.floor is not documented",
        "docs/reference/config.md: key gateway.flor doesn't exist",
    ]


def test_nested_configuration_keys_are_named() -> None:
    keys = dict(docs.config_keys())
    assert keys["models.NAME.price.input"] == "absent"
    assert keys["models.NAME.upstreams"] == "required"
    assert keys["policies.NAME.tdx.reference_values[].compose_hashes"] == "`[]`"
    assert keys["policies.NAME.tdx.simulated_root_sha256"] == "absent"
    assert "policies.NAME.name" not in keys


def test_a_policy_in_a_file_of_its_own_is_documented() -> None:
    text = docs.read("docs/reference/config.md")
    assert "docs/reference/config.md: key policies.NAME.sha256 is not documented" in docs.config_findings(
        text.replace("| `policies.NAME.sha256` |", "")
    )


def test_commands_and_options() -> None:
    text = docs.read("docs/reference/cli.md")
    assert list(docs.cli_findings(text)) == []
    assert list(docs.cli_findings(text.replace("## `ollm doctor`", "## `ollm doktor`"))) == [
        "docs/reference/cli.md: command ollm doctor is not documented",
        "docs/reference/cli.md: command ollm doktor doesn't exist",
    ]
    assert "docs/reference/cli.md: option of ollm demo --keep is not documented" in docs.cli_findings(text.replace("| `--keep` |", "| keep |"))


def test_what_the_tables_of_checks_breaks_errors_and_endpoints_hold() -> None:
    assert {"quote.debug", "receipt.signature", "session.id", "evidence.fetch"} <= set(checks_page.proofs())
    assert docs.named_checks(docs.ROOT) <= set(checks_page.proofs())
    found = docs.error_codes(docs.ROOT)
    assert {"upstream_verification_failed", "session_not_accepted", "bad_host", "store_unavailable"} <= set(found)
    assert found["overloaded"] == {503}
    assert "POST /v1/chat/completions" in docs.endpoints()
    assert list(docs.table_findings(docs.ROOT)) == []


def test_a_code_that_the_table_lacks_or_has_with_another_status_is_found() -> None:
    found = docs.error_codes(docs.ROOT)
    assert list(docs.error_findings(found)) == []
    table = "src/ollm/wire/error_codes.py"
    assert list(docs.error_findings({**found, "new_code": {418}})) == [f"{table}: code new_code is not documented"]
    assert list(docs.error_findings({**found, "overloaded": {503, 529}})) == [f"{table}: code overloaded is answered with status 529, not 503"]
    del found["bad_host"]
    assert list(docs.error_findings(found)) == [f"{table}: code bad_host doesn't exist"]
