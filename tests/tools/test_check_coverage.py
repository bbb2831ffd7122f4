"""Coverage is added up by package, lines and branches together."""

from tools.check_coverage import by_package


def entry(covered: int, lines: int, covered_branches: int, branches: int) -> dict[str, dict[str, int]]:
    summary = {"covered_lines": covered, "num_statements": lines, "covered_branches": covered_branches, "num_branches": branches}
    return {"summary": summary}


def test_files_are_added_up_by_package() -> None:
    files = {
        "src/ollm/attest/appraise.py": entry(9, 10, 3, 4),
        "src/ollm/attest/tdx/layout.py": entry(5, 5, 0, 0),
        "src/ollm/errors.py": entry(1, 2, 0, 0),
    }
    assert by_package({"files": files}) == {"attest": (17, 19), "errors": (1, 2)}
