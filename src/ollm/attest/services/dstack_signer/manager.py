"""What was started in a machine after it booted, as NEAR's compose-manager states it.

The measured compose file starts the manager alone; what serves prompts is started by it later, from files in a public repository, and is
in no measurement. The manager keeps a list of what it did and has the machine quote it:

    report data = SHA-256 of the list | nonce       {"actions": […], "actions_hash": hex, "quote": hex, "event_log": JSON text, "nonce": hex}

The list is hashed as compact JSON, with the members sorted or in the order of `_WRITTEN`: both have been seen. Nothing but the measured
manager's word stands behind it, any container that reaches the guest agent could have the same quoted, and there is no tag that would
tell such a quote from another: it is believed as far as the machine's measured software is.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from ollm.attest.evidence import TdxEvidence
from ollm.attest.services.dstack_signer.report import event_log, hex_bytes, limited
from ollm.attest.tdx import layout
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

FORMAT = "manager.format"
MAX_ACTIONS = 4096
_ACTIONS, _FILES = "manager.actions", "manager.files"
_WRITTEN = ("timestamp", "action", "tag", "commit", "file", "file_sha256", "services")
_STARTING, _STOPPING = "compose_up", "compose_down"
# What else the manager lists: none of it starts another file.
_HARMLESS = {"docker_restart", "compose_manager_started", "kernel_algif_blacklist_ok"}
_UNNAMED = "a file whose hash is not stated"


@resolved
class Action(msgspec.Struct, frozen=True):
    """One entry of the list, as far as it is read."""

    action: str
    file: str = ""
    file_sha256: str = ""
    services: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What the manager states."""

    cpu: TdxEvidence
    nonce: str
    actions: tuple[Action, ...]
    hash: bytes
    hashes: tuple[bytes, ...]  # of the list, in each of the forms in which it is hashed


@resolved
class _Statement(msgspec.Struct):
    quote: str
    nonce: str
    actions: list[dict[str, Any]]
    actions_hash: str
    event_log: Any = None
    vm_config: str | None = None


def parse(document: Any, app_compose: str | None) -> Statement:
    """The statement that `document` is, of a machine with `app_compose`. Raises: EvidenceRefused with manager.format."""
    try:
        raw = msgspec.convert(document, _Statement)
        actions = msgspec.convert(raw.actions, tuple[Action, ...])
    except msgspec.ValidationError:
        raise EvidenceRefused(FORMAT, "JSON that is no statement of a manager", "its members") from None
    if len(actions) > MAX_ACTIONS:
        raise EvidenceRefused(FORMAT, f"{len(actions)} actions", f"at most {MAX_ACTIONS}")
    return Statement(
        cpu=TdxEvidence(
            quote=hex_bytes(raw.quote, "quote", FORMAT, most=layout.MAX_QUOTE),
            event_log=event_log(raw.event_log, FORMAT),
            app_compose=app_compose,
            vm_config=None if raw.vm_config is None else limited(raw.vm_config, "vm_config", FORMAT),
        ),
        nonce=limited(raw.nonce, "nonce", FORMAT),
        actions=actions,
        hash=hex_bytes(raw.actions_hash, "actions_hash", FORMAT, size=32),
        hashes=tuple(_hash(raw.actions, order) for order in (None, _WRITTEN)),
    )


def _hash(actions: Sequence[dict[str, Any]], order: tuple[str, ...] | None) -> bytes:
    """The list's hash, its members sorted, or first those of `order`."""
    names = {name: at for at, name in enumerate(order or ())}
    listed = [{name: action[name] for name in sorted(action, key=lambda name: (names.get(name, len(names)), name))} for action in actions]
    try:
        return hashlib.sha256(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode()).digest()
    except RecursionError:
        raise EvidenceRefused(FORMAT, "an action nested without end", "flat actions") from None


def check_actions(statement: Statement) -> None:
    """The list has the hash that is stated. Raises: EvidenceRefused with manager.actions."""
    if statement.hash not in statement.hashes:
        raise EvidenceRefused(_ACTIONS, f"a list with SHA-256 {statement.hashes[0].hex()}", statement.hash.hex())


def check_machine(statement: Statement, signer: TdxEvidence) -> None:
    """Both quotes are of one measured machine. Raises: EvidenceRefused with manager.machine.

    It is the only link between the two: neither names the other.
    """
    ours, theirs = (layout.parse_quote(quote).td_report for quote in (signer.quote, statement.cpu.quote))
    for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id"):
        got, want = getattr(theirs, name), getattr(ours, name)
        if not hmac.compare_digest(got, want):
            raise EvidenceRefused("manager.machine", f"{name} {got.hex()}", f"the signer's, {want.hex()}")


def may_run(actions: Sequence[Action]) -> dict[str, str]:
    """SHA-256 and name of every file of which something may run: rather one too many than one too few.

    A file that is started anew for some services only leaves the others as they were. Stopping some services leaves the file.
    """
    started: dict[str, dict[str, str]] = {}  # by file: its hash by service; "": all of the others
    for action in actions:
        if action.action == _STOPPING and not action.services:
            started.pop(action.file, None)
        elif action.action == _STOPPING:
            services = started.get(action.file, {})
            for service in action.services:
                services.pop(service, None)
        elif action.action == _STARTING and not action.services:
            started[action.file] = {"": action.file_sha256 or _UNNAMED}
        elif action.action == _STARTING:
            started.setdefault(action.file, {}).update(dict.fromkeys(action.services, action.file_sha256 or _UNNAMED))
    return {digest: file for file, services in started.items() for digest in services.values()}


def check_files(statement: Statement, accepted: tuple[str, ...] | None) -> dict[str, str]:
    """What may run is in files that the policy lists, if it lists any; SHA-256 and name of each. Raises: EvidenceRefused with manager.files."""
    files = may_run(statement.actions)
    if accepted is None:
        return files
    for action in statement.actions:
        if action.action not in {_STARTING, _STOPPING, *_HARMLESS}:
            raise EvidenceRefused(_FILES, f"the action {action.action[:40]!a}", "one of which is known what it starts")
    for digest, file in files.items():
        if digest not in accepted:
            raise EvidenceRefused(_FILES, f"{file[:80]!a} with SHA-256 {digest[:64]}", f"one of {len(accepted)} listed files")
    return files


def facts(statement: Statement, files: dict[str, str]) -> dict[str, str]:
    """What is worth keeping of it."""
    shown = ", ".join(f"{file[:80]}={digest}" for digest, file in sorted(files.items())[:16])
    return {"manager_actions_hash": statement.hash.hex(), "manager_actions": str(len(statement.actions)), "manager_files": shown}
