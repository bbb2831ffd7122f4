"""What an enclave does that is broken above its hardware: keys, reports and channel (`--break`, layers report and channel).

A lie is told at the one place where it belongs: in the keyset that is quoted, in what is quoted, in the report's text, or in
what the channel shows. Everything else stays genuine, so that a refusal shows which check saw it.
"""

import os
from collections.abc import Callable
from typing import Any

import msgspec

from ollm.errors import ApiError
from ollm.ports import Quote, QuoteSource
from ollm.sim.machine import Hardware
from ollm.values.aci import Keyset, TlsKey

_DAY = 86_400
_HOUR = 3600

Document = dict[str, Any]


class MachineQuotes:
    """`ports.QuoteSource` of the machine that the enclave runs in."""

    def __init__(self, machine: Hardware) -> None:
        self._machine = machine

    async def quote(self, report_data: bytes) -> Quote:
        machine = self._machine
        return Quote(machine.quote(report_data).hex(), machine.event_log_json, machine.vm_config, machine.app_compose)


class OtherNonceQuotes:
    """Quotes over report data that nobody asked for, as if for another nonce."""

    def __init__(self, genuine: QuoteSource) -> None:
        self._genuine = genuine

    async def quote(self, report_data: bytes) -> Quote:
        return await self._genuine.quote(os.urandom(32) + bytes(32))


class ReplayedQuotes:
    """One genuine quote, for whoever asked first (the adversary itself, at its start), is shown to everybody."""

    def __init__(self, genuine: QuoteSource) -> None:
        self._genuine = genuine
        self._recorded: Quote | None = None

    async def quote(self, report_data: bytes) -> Quote:
        if self._recorded is None:
            self._recorded = await self._genuine.quote(os.urandom(32) + bytes(32))
        return self._recorded


def quote_source(kind: str | None, genuine: QuoteSource) -> QuoteSource:
    """`genuine`, or what a service broken by `kind` quotes with."""
    if kind == "wrong-nonce":
        return OtherNonceQuotes(genuine)
    return ReplayedQuotes(genuine) if kind == "replayed-quote" else genuine


def keyset_end(kind: str | None, now: int, lifetime: int) -> int:
    """`not_after` of the keyset, Unix seconds; `lifetime` (seconds) is the genuine one."""
    if kind == "expired-keyset":
        return now - _HOUR
    return now + (3650 * _DAY if kind == "endless-keyset" else lifetime)


def listed_keys(kind: str | None, keyset: Keyset) -> Keyset:
    """The keyset that is attested: under spki-mismatch it lists a TLS key that nobody serves."""
    if kind != "spki-mismatch":
        return keyset
    return msgspec.structs.replace(keyset, tls_public_keys=(TlsKey(os.urandom(32).hex()),))


def published_key(kind: str | None, public_key: bytes) -> bytes:
    """The sealing key that GET /.well-known/hpke-keys shows: under hpke-mismatch one of the adversary's own."""
    return os.urandom(32) if kind == "hpke-mismatch" else public_key


def told_report(kind: str | None, report: bytes) -> bytes:
    """`report` as a service broken by `kind` tells it. Raises: ApiError 404 when it tells nothing."""
    if kind == "no-evidence":
        raise ApiError(404, "not_found", None, "there is no attestation here")
    change = _CHANGES.get(kind) if kind is not None else None
    if change is None:
        return report
    document: Document = msgspec.json.decode(report)
    change(document)
    return msgspec.json.encode(document)


def _without_attestation(report: Document) -> None:
    del report["attestation"]


def _unknown_version(report: Document) -> None:
    report["api_version"] = "aci/999"


def _keyset_without_receipt_keys(report: Document) -> None:
    del report["attestation"]["workload_keyset"]["receipt_signing_keys"]


def _other_digest(report: Document) -> None:
    report["workload_keyset_digest"] = "sha256:" + "00" * 32


_CHANGES: dict[str, Callable[[Document], None]] = {
    "malformed-report": _without_attestation,
    "unknown-report-version": _unknown_version,
    "malformed-keyset": _keyset_without_receipt_keys,
    "keyset-digest-mismatch": _other_digest,
}
