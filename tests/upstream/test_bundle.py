"""What a session keeps of its evidence: all of it, exactly."""

import msgspec
import pytest

from ollm.attest.evidence import MachineCollateral, NrasCollateral, SnpCollateral, TdxCollateral
from ollm.attest.services.evidence import Demand, Judged, ServiceEvidence
from ollm.errors import WireError
from ollm.upstream.bundle import decode, encode, from_data_uri
from ollm.values.hexes import Hex32

COLLATERAL = TdxCollateral(
    pck_crl_issuer_chain="chain é",
    root_ca_crl=b"\x00crl",
    pck_crl=b"\xffcrl",
    tcb_info_issuer_chain="chain",
    tcb_info='{"a":1.0}',
    tcb_info_signature=b"s" * 64,
    qe_identity_issuer_chain="chain",
    qe_identity="{}",
    qe_identity_signature=b"t" * 64,
)


EVIDENCE = ServiceEvidence(
    documents={"report": b'{ "odd" : 1e5 }\n'}, nonce=Hex32("ab" * 32), host="machine.example", peer_spki_sha256=Hex32("cd" * 32)
)
OTHERS = {"documents": {"report": b"", "hpke_keys": b"\x00\x01"}, "model": "acme/large", "peer_spki_sha256": None}
SNP = SnpCollateral(leaf=b"\x30\x00", chain="chain é")


@pytest.mark.parametrize("evidence", [EVIDENCE, msgspec.structs.replace(EVIDENCE, **OTHERS)], ids=["one document", "several"])
@pytest.mark.parametrize("cpu", [COLLATERAL, SNP, None], ids=["tdx", "sev-snp", "nitro"])
def test_every_byte_comes_back(evidence: ServiceEvidence, cpu: TdxCollateral | SnpCollateral | None) -> None:
    judged = Judged(
        evidence=evidence,
        collateral=(MachineCollateral(cpu=cpu, devices=(NrasCollateral(jwks=b"{ }"),)), MachineCollateral(cpu=None)),
        statements=(b"\xff", b'{"mediaType":"x"}'),
        demand=Demand(shapes=("tinfoil-v2", "tinfoil-v3"), channel=False, seal=True),
        appraised_at=1_800_000_000,
    )
    assert decode(encode(judged)) == judged
    assert encode(decode(encode(judged))) == encode(judged)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"evidence":5}', b"\xff", b'{"x":"\xff"}', b'{"x":' + b"[" * 100_000], ids=range(7))
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_data_uri() -> None:
    assert from_data_uri("data:application/json;base64,aGk=") == b"hi"


@pytest.mark.parametrize(
    "uri", ["", "data:,hi", "data:x;base64", "http://x;base64,aGk=", "data:x;base64,aGk", "data:x;base64,a k=", "data:x;base64,é"]
)
def test_what_is_no_data_uri_is_refused(uri: str) -> None:
    with pytest.raises(WireError):
        from_data_uri(uri)
