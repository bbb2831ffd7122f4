"""Minted documents of Tinfoil's: of the members that real ones have, over report data that a machine signed."""

import base64
import gzip
import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import tinfoil as mint
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.values.hexes import Hex32
from tests.sim.hardware import NOW, FrozenClock

NONCE = Hex32("a5" * 32)
KEYS = mint.create_keys(NOW)
TDX = mint.TdxGuest(SimulatedMachine(create_pki(NOW), FrozenClock()))
SNP = mint.SnpGuest(SnpMachine(create_snp_pki("Genoa", NOW), NOW))


def test_v2_is_a_packed_report_over_both_keys() -> None:
    document = json.loads(mint.v2(SNP, KEYS))
    assert document["format"] == "https://tinfoil.sh/predicate/sev-snp-guest/v2"
    assert gzip.decompress(base64.b64decode(document["body"]))[0x50:0x90] == bytes.fromhex(KEYS.spki) + KEYS.hpke


def test_june_is_signed_by_the_tls_key_with_the_signature_left_empty() -> None:
    document = mint.june(SNP, KEYS, NONCE)
    members = json.loads(document)
    assert list(members) == ["format", "report_data", "cpu", "certificate", "signature"]
    signed = document.replace(members["signature"].encode(), b"").removesuffix(b"\n")
    KEYS.tls.public_key().verify(base64.b64decode(members["signature"]), signed, ec.ECDSA(hashes.SHA256()))
    wanted = hashlib.sha256(bytes.fromhex(KEYS.spki) + KEYS.hpke + bytes.fromhex(NONCE)).digest() + bytes(32)
    assert base64.b64decode(members["cpu"]["report"])[0x50:0x90] == wanted


def test_v3_names_the_hashes_of_its_sections() -> None:
    members = json.loads(mint.v3(TDX, KEYS, NONCE))
    endorsed = members["cpu_evidence"]["endorsed"]
    for name, digest in (("crypto_material", "crypto_material_hash"), ("device_evidence", "device_evidence_hash")):
        assert hashlib.sha256(base64.b64decode(members[name])).hexdigest() == endorsed[digest]
    assert base64.b64decode(members["cpu_evidence"]["report_base64"])[568:632].hex() == members["challenge"]["report_data"]


def test_predicates_are_of_what_the_machines_measure() -> None:
    code = mint.build_predicate(TDX, SNP)
    assert code["snp_measurement"] == SNP.machine.fields().measurement.hex()
    assert code["tdx_measurement"] == {"rtmr1": TDX.state.rtmr1.hex(), "rtmr2": TDX.state.rtmr2.hex()}
    assert mint.platforms_predicate(TDX)["platform-0"]["mrtd"] == TDX.state.mrtd.hex()
    assert TDX.state.rtmr3 == bytes(48)
