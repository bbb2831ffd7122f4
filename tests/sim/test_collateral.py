"""The collateral service: Intel's paths, headers and bodies, signed afresh."""

import json
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ollm.attest.evidence import CollateralNeed
from ollm.net.collateral import Asker, CollateralCache, PcsCollateral
from ollm.ports import Fetched
from ollm.sim.collateral import CURRENT_CPU_SVN, Endorsement, SimulatedPcs
from ollm.sim.machine import SimulatedMachine
from tests.sim.hardware import NOW, FrozenClock

TCB = "/tdx/certification/v4/tcb"
IDENTITY = "/tdx/certification/v4/qe/identity"
PCK_CRL = "/sgx/certification/v4/pckcrl"
ROOT_CRL = "/IntelSGXRootCA.der"


def assert_signed(machine: SimulatedMachine, text: str, signature: bytes) -> None:
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    machine.pki.tcb_signing.key.public_key().verify(der, text.encode(), ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(
    ("path", "query", "member", "header"),
    [
        (TCB, {"fmspc": "53494D000000"}, "tcbInfo", "TCB-Info-Issuer-Chain"),
        (TCB, {"fmspc": "53494d000000"}, "tcbInfo", "TCB-Info-Issuer-Chain"),
        (IDENTITY, {}, "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain"),
    ],
)
def test_a_signed_document_is_served_as_intel_serves_it(
    machine: SimulatedMachine, path: str, query: dict[str, str], member: str, header: str
) -> None:
    status, headers, body = machine.pcs_answer(path, query)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    text = body.decode()
    assert list(json.loads(text)) == [member, "signature"]
    inner = text.removeprefix(f'{{"{member}":').partition(',"signature":')[0]
    assert_signed(machine, inner, bytes.fromhex(json.loads(text)["signature"]))
    assert "\n" not in headers[header]
    chain = x509.load_pem_x509_certificates(unquote(headers[header]).encode())
    assert chain == [machine.pki.tcb_signing.certificate, machine.pki.root.certificate]


def test_documents_name_their_time(machine: SimulatedMachine, clock: FrozenClock) -> None:
    clock.seconds = NOW + 86_400
    for text, _ in (machine.pcs.tcb_info(), machine.pcs.qe_identity()):
        document = json.loads(text)
        assert (document["issueDate"], document["nextUpdate"]) == ("2027-01-16T07:55:00Z", "2027-02-15T07:55:00Z")


def test_tcb_info_describes_a_current_and_an_outdated_level(machine: SimulatedMachine) -> None:
    document = json.loads(machine.pcs.tcb_info()[0])
    assert (document["id"], document["version"], document["fmspc"]) == ("TDX", 3, "53494D000000")
    current, outdated = document["tcbLevels"]
    assert (current["tcbStatus"], outdated["tcbStatus"]) == ("UpToDate", "OutOfDate")
    assert bytes(component["svn"] for component in current["tcb"]["sgxtcbcomponents"]) == CURRENT_CPU_SVN
    assert outdated["advisoryIDs"] == ["SIMULATED-SA-00001"]


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_the_revocation_list_of_either_ca_is_served_with_its_issuer(machine: SimulatedMachine, ca: str) -> None:
    status, headers, body = machine.pcs_answer(PCK_CRL, {"ca": ca, "encoding": "der"})
    chain = x509.load_pem_x509_certificates(unquote(headers["SGX-PCK-CRL-Issuer-Chain"]).encode())
    crl = x509.load_der_x509_crl(body)
    assert (status, headers["Content-Type"]) == (200, "application/pkix-crl")
    assert ca in chain[0].subject.rfc4514_string().lower()
    assert crl.is_signature_valid(chain[0].public_key())  # type: ignore[arg-type]  # all our keys are P-256


def test_the_root_revocation_list_is_der(machine: SimulatedMachine) -> None:
    status, _, body = machine.pcs_answer(ROOT_CRL, {})
    assert status == 200
    assert x509.load_der_x509_crl(body).is_signature_valid(machine.pki.root.key.public_key())


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (TCB, {"fmspc": "00906ED50000"}, 404),
        (TCB, {"fmspc": "53494D"}, 400),
        (TCB, {"fmspc": "53494D00000 "}, 400),
        (TCB, {}, 400),
        (PCK_CRL, {}, 400),
        (PCK_CRL, {"ca": "root", "encoding": "der"}, 400),
        (PCK_CRL, {"ca": "platform", "encoding": "pem"}, 400),
        ("/sgx/certification/v4/qe/identity", {}, 404),
    ],
)
def test_what_is_not_there_is_refused(machine: SimulatedMachine, path: str, query: dict[str, str], status: int) -> None:
    answered, headers, body = machine.pcs_answer(path, query)
    assert (answered, body) == (status, b"")
    assert headers["Error-Code"]


def test_collateral_for_a_verifier_is_what_the_paths_serve(machine: SimulatedMachine) -> None:
    collateral = machine.collateral()
    served = machine.pcs_answer(TCB, {"fmspc": "53494D000000"})
    assert collateral.tcb_info in served[2].decode()
    assert collateral.tcb_info_issuer_chain == unquote(served[1]["TCB-Info-Issuer-Chain"])
    assert_signed(machine, collateral.tcb_info, collateral.tcb_info_signature)
    assert_signed(machine, collateral.qe_identity, collateral.qe_identity_signature)


class PcsFetch:
    """`ports.Fetch` that asks the simulated service without a network."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self.machine = machine

    async def get(self, url: str) -> Fetched:
        split = urlsplit(url)
        status, headers, body = self.machine.pcs_answer(split.path, dict(parse_qsl(split.query)))
        return Fetched(status, {name.lower(): value for name, value in headers.items()}, body)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        raise AssertionError("this service is only read")


async def test_the_gateways_fetcher_for_the_vendors_service_is_content_with_this_one(machine: SimulatedMachine, clock: FrozenClock) -> None:
    origin = "https://pcs.example"
    fetcher = PcsCollateral(CollateralCache(clock), Asker(PcsFetch(machine), clock), pcs_url=origin, root_crl_url=f"{origin}/IntelSGXRootCA.der")
    fetched = await fetcher.get(CollateralNeed("53494D000000", "platform"))
    direct = machine.collateral()
    assert (fetched.tcb_info, fetched.qe_identity) == (direct.tcb_info, direct.qe_identity)
    assert fetched.pck_crl_issuer_chain == direct.pck_crl_issuer_chain
    assert_signed(machine, fetched.tcb_info, fetched.tcb_info_signature)


def test_a_forged_document_differs_from_what_was_signed(machine: SimulatedMachine, clock: FrozenClock) -> None:
    forged = SimulatedPcs(machine.pki, clock, Endorsement(tcb_info_forged=True)).tcb_info()[0]
    assert json.loads(forged)["tcbEvaluationDataNumber"] != json.loads(machine.pcs.tcb_info()[0])["tcbEvaluationDataNumber"]
