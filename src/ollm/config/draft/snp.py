"""The table `snp` of a draft, and what it takes from attestation reports."""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import SnpEvidence
from ollm.attest.sevsnp import wanted
from ollm.attest.sevsnp.layout import SnpReport, parse_report
from ollm.attest.sevsnp.need import collateral_need
from ollm.attest.sevsnp.product import read_tcbs
from ollm.config.draft.writing import Source, comment, doubts, entry, sets
from ollm.values.policy import SnpPolicy, SnpTcb

_VMPLS = (0, 1, 2, 3)
_SMT = 1 << 16
_SINGLE_SOCKET = 1 << 20
_HOW = {
    "measurement": "The launch digest: the guest's memory at launch. Work it out from firmware, kernel, initrd and command line"
    " (sev-snp-measure does), or take the value from whoever publishes the image.",
    "host_data": "What the host stated at launch; look up what the software reads from it. Zero: nothing.",
    "id_key_digest": "SHA-384 of the key that signed the launch. Ask for the key. Zero: nobody signed.",
    "author_key_digest": "SHA-384 of the key that vouched for the ID key. Zero: none.",
    "family_id": "A name that the signer of the launch gave. Zero: none.",
    "image_id": "A name that the signer of the launch gave. Zero: none.",
}


class Measured(msgspec.Struct, frozen=True):
    """A report, and what the lines that it may be of make of its firmware's versions."""

    report: SnpReport
    products: tuple[str, ...]
    floors: dict[str, SnpTcb]  # the lowest of the four TCBs in the report, by product line
    provider_key: bool
    doubts: tuple[str, ...]  # what no policy accepts of it, or none that is drafted


def measured(evidence: SnpEvidence) -> Measured:
    """Read `evidence`. Raises: EvidenceRefused."""
    need = collateral_need(evidence.report)
    report = parse_report(evidence.report)
    floors = {product: read_tcbs(report, product).lowest for product in need.products}
    return Measured(report, need.products, floors, need.signing_key == "vlek", _doubts(report))


def _doubts(report: SnpReport) -> tuple[str, ...]:
    return doubts(
        lambda: wanted.check_policy_bits(report),
        lambda: wanted.check_debug(report),
        lambda: wanted.check_migration(report, SnpPolicy()),
        lambda: wanted.check_author_key(report),
        lambda: wanted.check_vmpl(report, SnpPolicy(vmpls=_VMPLS)),
    )


def table(sources: Sequence[tuple[Source, Measured]], *, name: str) -> list[str]:
    """The lines of the table."""
    reports = [found.report for _, found in sources]
    products = sorted({product for _, found in sources for product in found.products})
    lines = ["", "[snp]", *comment("AMD's product lines. Milan's signing keys can be extracted by published work: leave it out if you can.")]
    lines += entry("products", products)
    floors = {product: [found.floors[product] for _, found in sources if product in found.floors] for product in products}
    what = (
        "The least firmware. These numbers are the machine's own: compare them with AMD's security bulletins (AMD-SB-…), and raise them after"
        " each. AMD has no judgement like Intel's TCB status, so nothing else keeps out firmware with published flaws."
    )
    lines += entry("min_tcb", {product: _written(_lowest(tcbs), product) for product, tcbs in floors.items()}, what)
    if any(found.provider_key for _, found in sources):
        what = "The report is signed by a key that AMD lent to a cloud provider (VLEK), which names no chip. Its certificate names the provider."
        lines += [*entry("allow_vlek", True, what), *entry("vlek_csp_ids", [])]
    levels = sorted({report.vmpl for report in reports} & set(_VMPLS))
    if any(levels):
        lines += entry("vmpls", levels, "What runs at a lower level than these can read all that they read.")
    lines += entry("allow_smt", any(report.policy & _SMT for report in reports), "Whether the guest may run with simultaneous multithreading.")
    lines += entry("require_single_socket", all(report.policy & _SINGLE_SOCKET for report in reports), "Whether the guest must not span sockets.")
    chips = sorted({report.chip_id.hex() for report in reports if any(report.chip_id)})
    if chips:
        what = "Accept these processors only (chip id). Do so if you know where they stand: nothing else keeps out a machine in a stranger's hands."
        lines += entry("chips", chips, what, suggested=True)
    return lines + sets("snp", name, [(source, _measurements(found.report)) for source, found in sources])


def _measurements(report: SnpReport) -> list[str]:
    lines: list[str] = []
    for field, how in _HOW.items():
        lines += entry(field, getattr(report, field).hex(), how)
    return lines + entry("min_guest_svn", report.guest_svn, "The version number that the signer of the launch gave: lower ones are refused.")


def _lowest(tcbs: Sequence[SnpTcb]) -> SnpTcb:
    return SnpTcb(**{field: min(getattr(tcb, field) for tcb in tcbs) for field in SnpTcb.__struct_fields__})


def _written(tcb: SnpTcb, product: str) -> dict[str, int]:
    return {field: getattr(tcb, field) for field in SnpTcb.__struct_fields__ if field != "fmc" or product == "Turin"}
