"""TOML with a comment above each value, and the name under which evidence is cited."""

import json
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from cryptography import x509

from ollm.attest.certificates import SIMULATED_MARKER_OID, load_certificate, refusing
from ollm.attest.evidence import CpuEvidence, DeviceEvidence
from ollm.config.policy_rules import NOT_REVIEWED
from ollm.errors import EvidenceRefused

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


def sets(table: str, name: str, found: Sequence[tuple[Source, list[str]]]) -> list[str]:
    """A set of reference values for each different list of measurements, named for the first file that has it."""
    lines: list[str] = []
    drawn: set[tuple[str, ...]] = set()
    for source, measurements in found:
        if tuple(measurements) not in drawn:
            drawn.add(tuple(measurements))
            lines += ["", f"[[{table}.reference_values]]", *named(f"{name}-{len(drawn)}", source), *measurements]
    return lines


def doubts(*checks: Callable[[], object]) -> tuple[str, ...]:
    """What those checks refuse: each is one that no policy can switch off."""
    refusals = []
    for check in checks:
        try:
            check()
        except EvidenceRefused as refusal:
            refusals.append(f"{refusal.check}: got {refusal.got}, want {refusal.want}")
    return tuple(refusals)


def is_simulated(der: bytes, check: str) -> bool:
    """Whether a leaf certificate says that software plays the hardware. Raises: EvidenceRefused naming `check`."""
    leaf = load_certificate(der, check)
    with refusing(check, "a certificate whose extensions can't be read", "X.509 version 3"):
        return any(extension.oid == x509.ObjectIdentifier(SIMULATED_MARKER_OID) for extension in leaf.extensions)


def toml(value: Any) -> str:
    """A value as TOML writes it: strings, numbers, booleans and arrays as JSON does, tables in one line."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(member)}" for key, member in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(member) for member in value) + "]"
    return json.dumps(value)
