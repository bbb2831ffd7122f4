"""Which endorsements a report calls for: enough to ask AMD's key distribution service for them."""

import msgspec

from ollm.attest.sevsnp.endorsement import SigningKey
from ollm.attest.sevsnp.layout import parse_report
from ollm.attest.sevsnp.product import TURIN_CHIP_ID_SIZE, product_of_cpuid, read_tcb
from ollm.errors import EvidenceRefused
from ollm.values.policy import SnpTcb

_CHECK = "snp.format"


class SnpNeed(msgspec.Struct, frozen=True):
    """A VCEK is had from AMD for a chip at a TCB; a VLEK, from nobody but the provider whose it is.

    `product` is None when the report doesn't name it: reports of version 2 carry no CPUID. Then each of `products` is to be tried, or
    the product configured; the certificate says which was right, and appraisal checks it. How `reported_tcb` reads depends on the
    product: `tcb` reads it.
    """

    product: str | None
    products: tuple[str, ...]  # likeliest first
    chip_id: str  # hex, as wide as AMD asks for it: 8 bytes on Turin, 64 elsewhere; all zero when masked
    reported_tcb: bytes  # 8 bytes as in the report
    signing_key: SigningKey

    def tcb(self, product: str) -> SnpTcb:
        """The numbers to ask for on `product`, one of `products`. Raises: EvidenceRefused with snp.tcb_format."""
        return read_tcb(self.reported_tcb, product, "snp.tcb_format")


def collateral_need(report: bytes) -> SnpNeed:
    """What to fetch before appraising `report`. Raises: EvidenceRefused with snp.format, snp.signing_key or snp.product."""
    parsed = parse_report(report)
    if parsed.signing_key not in (0, 1):
        raise EvidenceRefused("snp.signing_key", f"signing key {parsed.signing_key}", "0, VCEK, or 1, VLEK")
    short, rest = parsed.chip_id[:TURIN_CHIP_ID_SIZE], parsed.chip_id[TURIN_CHIP_ID_SIZE:]
    if parsed.cpuid is not None:
        product = product_of_cpuid(parsed.cpuid)
        if product is None:
            raise EvidenceRefused("snp.product", f"CPU family {parsed.cpuid.family:#x}, model {parsed.cpuid.model:#x}", "Milan, Genoa or Turin")
        products: tuple[str, ...] = (product,)
    elif any(short) and not any(rest):  # no chip of the other lines has 56 zero bytes in its id
        product, products = None, ("Turin",)
    else:
        product, products = None, ("Milan", "Genoa")
    chip_id = short if products == ("Turin",) else parsed.chip_id
    return SnpNeed(product, products, chip_id.hex(), parsed.reported_tcb, "vlek" if parsed.signing_key else "vcek")
