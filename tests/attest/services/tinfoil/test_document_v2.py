"""Documents of v2: gzip inside, and nothing else."""

import gzip
import json
import zlib

import pytest

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.tinfoil import document_v2
from ollm.testing.mint import tinfoil as mint
from tests.attest.service import refused_check
from tests.attest.services.tinfoil.enclaves import keys, snp, tdx


def test_a_report_of_either_kind() -> None:
    for guest, kind in ((tdx(), TdxEvidence), (snp(), SnpEvidence)):
        stated = document_v2.parse(mint.v2(guest, keys()))
        assert isinstance(stated.cpu, kind)
        assert (stated.spki, stated.hpke, stated.nonce, stated.report_data, stated.covers_devices) == (keys().spki, keys().hpke, None, None, False)


BODY = gzip.compress(bytes(1184))


@pytest.mark.parametrize(
    "report",
    [
        mint.packed_v2("https://tinfoil.sh/predicate/dummy/v2", BODY),
        mint.packed_v2(document_v2.SNP, b"\x00" * 100),
        mint.packed_v2(document_v2.SNP, BODY[:-4]),
        mint.packed_v2(document_v2.SNP, BODY + b"more"),
        mint.packed_v2(document_v2.SNP, gzip.compress(bytes(4_000_000))),
        mint.packed_v2(document_v2.SNP, zlib.compress(bytes(1184))),
        mint.packed_v2(document_v2.SNP, gzip.compress(bytes(20))),
        json.dumps({"format": document_v2.SNP, "body": ""}).encode(),
        json.dumps({"format": document_v2.SNP, "body": "AA==", "nonce": "00"}).encode(),
    ],
    ids=["dummy", "no gzip", "cut", "trailing", "bomb", "zlib", "too short", "empty", "unknown member"],
)
def test_what_is_not_one_report_is_refused(report: bytes) -> None:
    assert refused_check(lambda: document_v2.parse(report)) == "tinfoil.format"
