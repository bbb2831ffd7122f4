"""The table `tdx` of a draft, and what it takes from quotes and their event logs."""

import re
from collections.abc import Sequence

import msgspec
from cryptography import x509

from ollm.attest.certificates import load_certificate, refusing
from ollm.attest.dstack import compose, eventlog
from ollm.attest.evidence import TdxEvidence
from ollm.attest.tdx import wanted
from ollm.attest.tdx.layout import TdReport, TdxQuote, parse_quote
from ollm.config.draft.writing import Source, comment, doubts, entry, is_simulated, sets
from ollm.errors import EvidenceRefused
from ollm.values.hexes import sha256_of

_IMAGE_HASH = "os-image-hash"
# Intel SGX PCK certificate specification: 1.2.840.113741.1.13.1 is a sequence of pairs; the first pair is OID ….1.1 with the PPID, 16 bytes.
_SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_PPID = re.compile(rb"\x06\x0a\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x01\x04\x10(.{16})", re.DOTALL)

_HOW = {
    "mrtd": "the virtual firmware. Build it again from its source, or take the value from whoever publishes the image",
    "rtmr0": "what the host hands to the firmware (ACPI tables, devices, boot variables). Work it out from image and machine shape"
    " (dstack: dstack-mr); it differs between machine shapes",
    "rtmr1": "the kernel. Work it out from the image",
    "rtmr2": "the kernel's command line and initrd. Work it out from the image",
    "rtmr3": "the application and what the guest added at run time",
    "mr_seam": "Intel's TDX module. Intel's TCB information judges it too, and an update changes it: pinned, it stops the service then",
    "mr_config_id": "a configuration that the host stated at launch (dstack: 01 and the compose hash). Zero: none",
    "mr_owner": "an owner that the host stated at launch. Zero: none",
    "mr_owner_config": "an owner's configuration that the host stated at launch. Zero: none",
}


class Measured(msgspec.Struct, frozen=True):
    """A quote and what its log, if there is one, proves by replay."""

    quote: TdxQuote
    simulated_root: str | None  # SHA-256 of the root, where the certificate says that software plays the hardware
    ppid: str | None
    doubts: tuple[str, ...]  # what no policy accepts of it
    compose_hash: str | None = None
    os_image_hash: str | None = None
    log: bool = False


def measured(evidence: TdxEvidence) -> Measured:
    """Read `evidence`; a log that is there must replay. Raises: EvidenceRefused."""
    quote = parse_quote(evidence.quote)
    leaf = load_certificate(quote.pck_chain.leaf, "quote.certification_data")
    with refusing("quote.certification_data", "a PCK certificate whose extensions can't be read", "X.509 version 3"):
        sgx = next((extension.value for extension in leaf.extensions if extension.oid == _SGX_EXTENSION), None)
    ppid = _PPID.search(sgx.value) if isinstance(sgx, x509.UnrecognizedExtension) else None
    simulated = is_simulated(quote.pck_chain.leaf, "quote.certification_data")
    root = sha256_of(quote.pck_chain.root).removeprefix("sha256:") if simulated else None
    found = Measured(quote, root, ppid[1].hex() if ppid else None, _doubts(quote.td_report))
    if evidence.event_log is None:
        return found
    runtime = eventlog.replay(eventlog.parse(evidence.event_log), quote.td_report)
    hashed = compose.check_hash(evidence.app_compose, runtime) if evidence.app_compose is not None else None
    return msgspec.structs.replace(found, log=True, compose_hash=hashed, os_image_hash=image_hash(runtime))


def _doubts(report: TdReport) -> tuple[str, ...]:
    return doubts(
        lambda: wanted.check_debug(report),
        lambda: wanted.check_sept_ve_disable(report),
        lambda: wanted.check_reserved_attributes(report),
        lambda: wanted.check_migratable(report),
        lambda: wanted.check_service_td(report),
        lambda: wanted.check_seam_signer(report),
    )


def image_hash(runtime: tuple[eventlog.RuntimeEvent, ...]) -> str | None:
    """The dstack OS image that a replayed log names, or None."""
    try:
        payload = eventlog.boot_payload(runtime, _IMAGE_HASH, "event_log.replay")
    except EvidenceRefused:
        return None  # another image than dstack's, or an older one
    return payload.hex() if len(payload) == 32 else None


def table(sources: Sequence[tuple[Source, Measured]], *, name: str, compose_required: bool) -> list[str]:
    """The lines of the table. `compose_required`: the policy looks at compose files, since every one of `sources` came with its own."""
    lines = ["", "[tdx]"]
    root = sources[0][1].simulated_root  # the same for all
    if root is not None:
        lines += entry("simulated_root_sha256", root, "This is simulated hardware: software plays it, and whoever runs it reads every prompt.")
    lines += comment("Intel's judgement of the platform. Anything but UpToDate has published flaws; a grace period has an end.")
    lines += entry("accepted_tcb_status", ["UpToDate"])
    lines += entry(
        "min_tcb_evaluation_data_number",
        0,
        "The newest number in Intel's TCB information (tcbEvaluationDataNumber) on the day of your review: older statements hide newer flaws.",
        suggested=True,
    )
    ppids = sorted({found.ppid for _, found in sources if found.ppid is not None})
    if ppids:
        what = "Accept these machines only (PPID). Do so if you know where they stand: nothing else keeps out a machine in a stranger's hands."
        lines += entry("platforms", ppids, what, suggested=True)
    return lines + sets("tdx", name, [(source, _measurements(found, compose_required=compose_required)) for source, found in sources])


def _measurements(found: Measured, *, compose_required: bool) -> list[str]:
    report = found.quote.td_report
    lines: list[str] = []
    # Pinned: all that stays the same while the same software runs. RTMR3 differs between instances; log and compose hash stand for it.
    suggested = {"mr_seam"} | ({"rtmr3", "mr_config_id"} if compose_required else set())
    for field, how in _HOW.items():
        lines += entry(field, getattr(report, field).hex(), f"{field.replace('_', '').upper()}: {how}.", suggested=field in suggested)
    if compose_required and found.compose_hash is not None:
        lines += entry("compose_hashes", [found.compose_hash], "SHA-256 of the app-compose file. Read the file: it says which containers run.")
    if found.os_image_hash is not None:
        lines += entry("os_image_hashes", [found.os_image_hash], "The dstack OS image, as the guest names it. Compare with the release's own.")
    return lines
