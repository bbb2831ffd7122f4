"""An attestation of SEV-SNP as Contrast hands it on: the report taken apart into a message, and AMD's certificates beside it.

    Attestation      report 1, certificate chain 2, product 3
    report           the fields of `_NUMBERS` and `_OCTETS`; CPUID 29: EAX of CPUID Fn0000_0001
    chain            VCEK 1, ASK 2, ARK 3, firmware's 4, VLEK 6, others by name 7 (among them a CRL)

AMD signed bytes, so the report is put together again. What the message has no field for are AMD's reserved bytes: zero, or its signature
fails. Of the certificates only the leaf is taken, as a hint: chain and CRL are fetched by us, and the leaf is judged like one that was.

Sources: google/go-sev-guest, proto/sevsnp.proto and abi; edgelesssys/contrast, internal/attestation/snp. Offsets: AMD 56860.
"""

from ollm.attest.evidence import SnpEvidence
from ollm.attest.services.privatemode.protobuf import Message
from ollm.attest.sevsnp.layout import REPORT_SIZE
from ollm.errors import EvidenceRefused

_NUMBERS = {  # field → offset and size in the report, little endian
    1: (0x000, 4),  # version
    2: (0x004, 4),  # guest SVN
    3: (0x008, 8),  # guest policy
    6: (0x030, 4),  # VMPL
    7: (0x034, 4),  # signature algorithm
    8: (0x038, 8),  # current TCB
    9: (0x040, 8),  # platform info
    10: (0x048, 4),  # flags, with the signing key
    18: (0x180, 8),  # reported TCB
    20: (0x1E0, 8),  # committed TCB
    21: (0x1E8, 1),  # current firmware: build, minor, major
    22: (0x1E9, 1),
    23: (0x1EA, 1),
    24: (0x1EC, 1),  # committed firmware: build, minor, major
    25: (0x1ED, 1),
    26: (0x1EE, 1),
    27: (0x1F0, 8),  # launch TCB
    30: (0x1F8, 8),  # mitigations at launch
    31: (0x200, 8),  # mitigations now
}
_OCTETS = {  # field → offset and size in the report
    4: (0x010, 16),  # family id
    5: (0x020, 16),  # image id
    11: (0x050, 64),  # report data
    12: (0x090, 48),  # measurement
    13: (0x0C0, 32),  # host data
    14: (0x0E0, 48),  # ID key
    15: (0x110, 48),  # author key
    16: (0x140, 32),  # report id
    17: (0x160, 32),  # migration agent's
    19: (0x1A0, 64),  # chip id
    28: (0x2A0, 512),  # signature
}
_CPUID, _CPUID_AT = 29, 0x188
_CPUID_BITS = 0x0FFF0FFF  # family, model and stepping with their extended parts
_VCEK, _VLEK, _OTHERS = 1, 6, 7
_SIGNED_BY_VLEK = 1


def evidence(attestation: Message, check: str) -> SnpEvidence:
    """The report that was signed, and the leaf certificate if there is one. Raises: EvidenceRefused naming `check`."""
    message = attestation.message(1, "a report")
    message.only(range(1, 32))
    report = bytearray(REPORT_SIZE)
    for field, (at, size) in _NUMBERS.items():
        report[at : at + size] = message.number(field, size).to_bytes(size, "little")
    for field, (at, size) in _OCTETS.items():
        report[at : at + size] = message.octets(field, size)
    report[_CPUID_AT : _CPUID_AT + 3] = _cpu(message.number(_CPUID, 4), check)
    certificates = attestation.message(2, "a certificate chain", repeated=_OTHERS) if 2 in attestation else None
    signing_key = message.number(10, 4) >> 2
    leaf = certificates.rest(_VLEK if signing_key == _SIGNED_BY_VLEK else _VCEK) if certificates is not None else b""
    return SnpEvidence(report=bytes(report), leaf=leaf or None)


def _cpu(eax: int, check: str) -> bytes:
    """Family, model and stepping as the report has them, a byte each (CPUID Fn0000_0001 EAX)."""
    family, model = (eax >> 8 & 0xF) + (eax >> 20 & 0xFF), (eax >> 4 & 0xF) | (eax >> 16 & 0xF) << 4
    if eax & ~_CPUID_BITS or family > 0xFF:
        raise EvidenceRefused(check, f"CPUID {eax:#x}", "family, model and stepping of a CPU")
    return bytes((family, model, eax & 0xF))
