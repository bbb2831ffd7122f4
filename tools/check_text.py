"""Texts that no file of the project may hold: registry addresses, paths of one machine, private keys, unfinished work.

The patterns are written in pieces, so that this file doesn't find itself.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "a registry's address: whoever installs chooses the registry",
        re.compile(r"(?:pypi|python" + r"hosted|npm" + r"js|yarn" + r"pkg|crates)\.(?:org|com|io)\b"),
    ),
    (
        "a path of one machine",
        re.compile(r"(?<![\w.$}/-])/(?:wo" + r"rk|ro" + r"ot|home/[a-z]+|Users/[A-Za-z]+)(?:/|\b(?![\w.-]))"),
    ),
    ("a path outside the repository", re.compile(r"\.\./sha" + r"red\b")),
    ("a private key: keys are made where they are used", re.compile(r"BEGIN (?:[A-Z]+ )*PRIV" + r"ATE KEY-----[^A-Za-z0-9]*n?[A-Za-z0-9+/]{24}")),
    ("unfinished work: it belongs into an issue", re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")),
    ("a conflict marker", re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)),
)

# Where a rule has an exception, it says why.
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    ".ci/run": ("a path outside the repository",),  # recorded evidence lies there, if anywhere
}


def findings(name: str, text: str) -> Iterator[str]:
    """What the file `name` holds and shouldn't, as texts that begin with a line number."""
    for why, pattern in RULES:
        if why in EXCEPTIONS.get(name, ()):
            continue
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{line}: {match.group().strip()!r}: {why}"


def project_files(root: Path) -> list[str]:
    """Names of the files that are, or would be, committed."""
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, check=True)  # noqa: S607  # git from the PATH, as the developer's own
    return sorted({name for name in listing.stdout.decode().split("\0") if name and (root / name).is_file()})


def main(root: Path = ROOT) -> int:
    """Print forbidden texts; the exit status."""
    bad = 0
    names = project_files(root)
    for name in names:
        try:
            text = (root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary
        for finding in findings(name, text):
            print(f"{name}:{finding}")
            bad += 1
    print(f"texts: {len(names)} files, {bad} forbidden")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
