"""A module without a test file is named; declarations need none."""

from pathlib import Path

import pytest

from tools import check_tests


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_tests, "TESTED_BY", {})
    package = tmp_path / "src" / "ollm" / "attest"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "appraise.py").write_text("def appraise() -> int:\n    return 1\n")
    (package / "names.py").write_text('"""Names."""\n\nA = 1\n')
    return tmp_path


def test_a_module_without_tests_is_named(project: Path) -> None:
    assert list(check_tests.findings(project)) == ["src/ollm/attest/appraise.py: no tests/attest/test_appraise.py"]


def test_a_mirrored_test_file_is_enough(project: Path) -> None:
    (project / "tests" / "attest").mkdir(parents=True)
    (project / "tests" / "attest" / "test_appraise.py").write_text("")
    assert check_tests.main(project) == 0


def test_a_test_elsewhere_must_exist(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_tests, "TESTED_BY", {"attest/appraise.py": "tests/attest/test_all.py", "gone.py": "tests/test_gone.py"})
    assert list(check_tests.findings(project)) == [
        "src/ollm/attest/appraise.py: no tests/attest/test_all.py",
        "tools/check_tests.py: TESTED_BY names gone.py, which doesn't exist",
    ]


def test_protocols_and_constants_need_no_tests() -> None:
    assert not check_tests.has_code('class P(Protocol):\n    """A port."""\n\n    def now(self) -> int:\n        """Seconds."""\n')
    assert not check_tests.has_code("A = 1\n\nclass S(Struct):\n    a: int = 1\n")
    assert check_tests.has_code("class C:\n    def f(self):\n        return 1\n")
