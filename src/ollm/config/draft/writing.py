"""TOML with a comment above each value, and the name under which evidence is cited."""

import json
import textwrap
from typing import Any

import msgspec

from ollm.attest.evidence import CpuEvidence, DeviceEvidence
from ollm.config.policy_rules import NOT_REVIEWED

_WIDTH = 120


class Source(msgspec.Struct, frozen=True):
    """Evidence with the file that it came from."""

    file: str  # last part of the path; shown, so anything unusual in it is replaced
    sha256: str  # of the file's bytes, 64 hex
    evidence: CpuEvidence | DeviceEvidence

    @property
    def cited(self) -> str:
        """The file, in one line whatever its name."""
        name = "".join(character if character.isascii() and character.isprintable() else "?" for character in self.file)
        return f"{name[:80]} (sha256 {self.sha256})"


def comment(text: str) -> list[str]:
    """`text` as lines of comment."""
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False)


def entry(key: str, value: Any, text: str = "", *, suggested: bool = False) -> list[str]:
    """`key = value` under its comment; `suggested`: commented out, for the reviewer to decide."""
    return [*comment(text), f"{'# ' if suggested else ''}{key} = {toml(value)}"]


def named(name: str, source: Source) -> list[str]:
    """The first lines of a set of reference values. The loader wants another `source`: whence the reviewer has the values."""
    return [*entry("name", name), *entry("source", f"drafted from {source.cited}; {NOT_REVIEWED}")]


def toml(value: Any) -> str:
    """A value as TOML writes it: strings, numbers, booleans and arrays as JSON does, tables in one line."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(member)}" for key, member in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(member) for member in value) + "]"
    return json.dumps(value)
