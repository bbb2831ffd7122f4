"""Branch coverage by package, from the data that `make coverage` collected; the pure packages are covered whole."""

import io
import json
import sys
from collections import defaultdict
from pathlib import Path

import coverage

ROOT = Path(__file__).parent.parent
WHOLE = {"attest", "seal", "wire", "values", "receipts", "traffic"}  # docs/decisions/0001: what decides is covered whole


def by_package(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, tuple[int, int]]:
    """(covered, all) lines and branches for each package directly under ollm."""
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, entry in report["files"].items():
        package = Path(name.split("src/ollm/", 1)[-1]).parts[0].removesuffix(".py")
        summary = entry["summary"]
        covered, everything = totals[package]
        totals[package] = (
            covered + summary["covered_lines"] + summary["covered_branches"],
            everything + summary["num_statements"] + summary["num_branches"],
        )
    return dict(totals)


def main() -> int:
    """Print the table; 1 where a pure package falls short."""
    data = coverage.Coverage(data_file=str(ROOT / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
    data.load()
    target = ROOT / "var" / "coverage.json"
    target.parent.mkdir(exist_ok=True)
    data.json_report(outfile=str(target))
    totals = by_package(json.loads(target.read_text(encoding="utf-8")))
    short = 0
    for package, (covered, everything) in sorted(totals.items()):
        must = package in WHOLE and covered < everything
        short += must
        print(f"{package:10} {100 * covered / max(everything, 1):6.2f} %  {everything - covered:5} not covered{'  must be 0' if must else ''}")
    if short:
        missing = io.StringIO()
        data.report(file=missing, include=[f"*/ollm/{package}/*" for package in sorted(WHOLE)], show_missing=True, skip_covered=True)
        print(missing.getvalue())
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
