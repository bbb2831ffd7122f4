"""Trust decisions in files of their own: bytes of a policy file to an `AttestationPolicy`.

`[policies.NAME]` in `ollm.toml` holds either the rules themselves, or `file` and `sha256`: the rules then are the top level of that
file, and its exact bytes are pinned. So the one digest of `ollm.toml`, which stands in every receipt, covers every trust anchor,
wherever it is written.

A draft (`reviewed = false`, as `ollm policy from-evidence` writes it) can be explained, but no gateway takes it: a person replaces
the word by a text that says who checked it against what.
"""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ollm.config import policy_rules
from ollm.errors import ConfigError
from ollm.values.hexes import Sha256, sha256_of
from ollm.values.policy import AttestationPolicy

MAX_POLICY = 1024 * 1024  # bytes; a set of reference values has about 1 KB
REFERENCE = "see docs/reference/config.md"

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[policies.NAME]` where the rules stand in a file of their own."""

    file: str  # path, relative to the configuration
    sha256: str  # of the file's exact bytes, 64 hex


class PolicyDocument(msgspec.Struct, frozen=True):
    """A policy file, read."""

    policy: AttestationPolicy
    digest: Sha256
    draft: bool  # nobody has reviewed it, and no gateway takes it

    def check_usable(self) -> None:
        """A gateway on this machine would take it. Raises: ConfigError."""
        where = self.policy.name
        if self.draft:
            raise _unreviewed(where)
        policy_rules.check_reviewed(where, self.policy)
        policy_rules.check_installed(where, self.policy)


def read_document(path: Path, name: str | None = None) -> PolicyDocument:
    """The policy file at `path`, drafts included; it is named for the file unless `name` says otherwise. Raises: ConfigError."""
    data = read_limited(path)
    table = toml_table(data, str(path))
    draft = table.get("reviewed") is False
    if draft:
        del table["reviewed"]
    return PolicyDocument(_policy(str(path), name if name is not None else path.stem, table), sha256_of(data), draft)


def policy_of(name: str, table: dict[str, Any], directory: Path) -> AttestationPolicy:
    """The policy that `[policies.NAME]` stands for; `directory` is the configuration's. Raises: ConfigError."""
    where = f"policies.{name}"
    if "file" in table or "sha256" in table:
        where, table = pinned(where, table, directory, explain="ollm policy explain")
    if table.get("reviewed") is False:
        raise _unreviewed(where)
    policy = _policy(where, name, table)
    policy_rules.check_reviewed(where, policy)
    return policy


def toml_table(data: bytes, what: str) -> dict[str, Any]:
    """`data` as TOML. Raises: ConfigError naming `what`."""
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{what} is not UTF-8", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{what} is not TOML: {problem}", "mend the line it names") from None
    except RecursionError:
        raise ConfigError(f"{what} is not TOML: it nests too deeply", "mend it") from None


def read_limited(path: Path, limit: int = MAX_POLICY) -> bytes:
    """The bytes of the file at `path`, at most `limit`. Raises: ConfigError."""
    try:
        if not path.is_file():
            raise ConfigError(f"there is no file {path}", "name a file that exists")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as problem:
        raise ConfigError(f"can't read {path}: {problem.strerror}", "make it readable for the user that runs this") from None
    if len(data) > limit:
        raise ConfigError(f"{path} is larger than {limit} bytes", "name the file that was meant")
    return data


def converted(table: dict[str, Any], kind: type[_Struct], where: str) -> _Struct:
    """`table` as a `kind`. Raises: ConfigError naming `where` and the field."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"{where}: {str(problem).replace('`$.', '`')}", REFERENCE) from None


def _policy(where: str, name: str, table: dict[str, Any]) -> AttestationPolicy:
    table = dict(table)
    given = table.setdefault("name", name)
    if given != name:
        raise ConfigError(f"{where}.name is {given!r}", "leave it out: a policy's name stands in ollm.toml, [policies.NAME]")
    if "reviewed" in table and not (isinstance(table["reviewed"], str) and table["reviewed"].strip()):
        raise ConfigError(f"{where}.reviewed says nothing", "write who reviewed it, when and against what, or leave it out")
    policy_rules.check_table(where, table)
    policy = converted(table, AttestationPolicy, where)
    policy_rules.check_policy(where, policy)
    return policy


def pinned(where: str, table: dict[str, Any], directory: Path, *, explain: str) -> tuple[str, dict[str, Any]]:
    """Name and content of the file that `table` pins; `explain` is the command that shows what it says. Raises: ConfigError."""
    more = sorted(set(table) - {"file", "sha256"})
    if more:
        raise ConfigError(f"{where} names a file and has {', '.join(more)} beside it", "rules stand in one place: move them into the file")
    if "sha256" not in table:
        table = {**table, "sha256": ""}
    named = converted(table, PolicyFile, where)
    data = read_limited(directory / named.file)
    actual = sha256_of(data).removeprefix("sha256:")
    review = f'review it (`{explain} {named.file}`), then write sha256 = "{actual}"'
    if not named.sha256:
        raise ConfigError(f"{where} names {named.file} without its sha256", review)
    if named.sha256 != actual:
        raise ConfigError(f"{named.file} has SHA-256 {actual}, and {where} pins {named.sha256[:64]!a}", review)
    content = toml_table(data, named.file)
    if "file" in content or "sha256" in content:
        raise ConfigError(f"{named.file} names another file", "a policy file holds the rules themselves")
    return named.file, content


def _unreviewed(where: str) -> ConfigError:
    mend = 'check each value as the comments beside it say, then write reviewed = "who, when, against what"'
    return ConfigError(f"{where} is a draft that nobody has reviewed", mend)
