"""A file of evidence, by its content: which technology it is of."""

import binascii

from ollm.attest import aci
from ollm.attest.evidence import CpuEvidence, DeviceEvidence, SnpEvidence, TdxEvidence
from ollm.attest.sevsnp.layout import REPORT_SIZE

MAX_FILE = 4 * 1024 * 1024


def evidence_of(data: bytes) -> CpuEvidence | DeviceEvidence:
    """The evidence in `data`: bytes as the hardware made them, their hex, or an ACI/1 report. Raises: EvidenceRefused."""
    if data.lstrip()[:1] == b"{":
        report = aci.parse_report(data)
        return TdxEvidence(quote=report.quote, event_log=report.event_log, app_compose=report.app_compose)
    try:
        data = binascii.unhexlify(data.strip())
    except binascii.Error:
        pass  # not hex: the bytes themselves
    return SnpEvidence(report=data) if len(data) == REPORT_SIZE else TdxEvidence(quote=data)
