"""Roots, marker, chains and revocation: each is refused by its own name, and the library has the last word."""

import dcap_qvl
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest.certificates import SIMULATED_MARKER_OID, check_marker
from ollm.attest.evidence import CollateralNeed
from ollm.attest.tdx import collateral as tdx_collateral
from ollm.attest.tdx import genuine
from ollm.attest.tdx.genuine import INTEL_ROOT_SHA256, PckCertificates, SimulatedRoot, VendorRoot
from ollm.attest.tdx.layout import PckChain, TdxQuote, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim import sgx_extension
from ollm.sim.broken import BrokenMachine
from ollm.sim.machine import Hardware, SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki
from ollm.values.policy import TdxPolicy
from tests.sim.hardware import NOW, REPORT_DATA, FrozenClock, library_collateral


def read(machine: Hardware) -> tuple[TdxQuote, PckCertificates, tdx_collateral.ParsedCollateral]:
    quote = parse_quote(machine.quote(REPORT_DATA))
    return quote, genuine.load_chain(quote.pck_chain), tdx_collateral.parse(machine.collateral())


def pinned(machine: SimulatedMachine) -> SimulatedRoot:
    return SimulatedRoot(machine.pki.root_sha256)


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


# Roots


def test_the_vendors_root_is_the_one_compiled_in_and_takes_no_argument() -> None:
    assert isinstance(genuine.root_of(TdxPolicy()), VendorRoot)
    with pytest.raises(TypeError):
        VendorRoot("00" * 32)  # type: ignore[call-arg]


def test_the_vendors_root_is_named_by_a_digest() -> None:
    assert VendorRoot.sha256 == genuine.INTEL_ROOT_SHA256
    assert len(bytes.fromhex(genuine.INTEL_ROOT_SHA256)) == 32


def test_every_link_of_the_platforms_chain_is_checked_here_too(machine: SimulatedMachine) -> None:
    _, own, _ = read(machine)
    _, foreign, _ = read(SimulatedMachine(create_pki(NOW), FrozenClock()))

    genuine.check_pck_chain(own, NOW)
    for mixed in (PckCertificates(own.leaf, foreign.ca, foreign.root), PckCertificates(own.leaf, own.ca, foreign.root)):
        with refused("chain.pck"):
            genuine.check_pck_chain(mixed, NOW)


def test_the_end_of_every_certificate_counts(machine: SimulatedMachine) -> None:
    _, chain, _ = read(machine)

    ends = [int(certificate.not_valid_after_utc.timestamp()) for certificate in (chain.leaf, chain.ca, chain.root)]
    assert [period.end for period in chain.periods] == ends


def test_a_pinned_root_makes_the_whole_policy_simulated() -> None:
    root = genuine.root_of(TdxPolicy(simulated_root_sha256="00" * 32))

    assert isinstance(root, SimulatedRoot)
    assert root.simulated


def test_the_vendors_verifier_refuses_simulated_hardware_whatever_else_was_checked(machine: SimulatedMachine) -> None:
    quote, _, collateral = read(machine)

    with pytest.raises(EvidenceRefused):
        genuine.verify(quote, collateral, VendorRoot(), NOW)


def test_a_root_is_compared_byte_for_byte(machine: SimulatedMachine) -> None:
    quote, _, _ = read(machine)

    genuine.check_root(quote.pck_chain, pinned(machine))
    with refused("chain.root"):
        genuine.check_root(quote.pck_chain, VendorRoot())
    with refused("chain.root"):
        genuine.check_root(quote.pck_chain, SimulatedRoot(INTEL_ROOT_SHA256))


# The marker: decision 0002


def test_each_path_takes_its_own_kind_of_hardware_only(machine: SimulatedMachine) -> None:
    marked = read(machine)[1]
    unmarked = read(BrokenMachine(machine, "unmarked-leaf"))[1]

    check_marker(marked.leaf, simulated=True)
    check_marker(unmarked.leaf, simulated=False)
    with refused("platform.marker"):
        check_marker(marked.leaf, simulated=False)
    with refused("platform.marker"):
        check_marker(unmarked.leaf, simulated=True)


def _leaf(pki: SimulatedPki, machine: SimulatedMachine, oid: str, key: ec.EllipticCurvePrivateKey, *, critical: bool) -> bytes:
    """A PCK certificate in PEM with the extension `oid` beside everything that belongs there."""
    genuine_leaf = machine.pck
    builder = (
        x509.CertificateBuilder()
        .subject_name(genuine_leaf.subject)
        .issuer_name(pki.platform_ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(genuine_leaf.not_valid_before_utc)
        .not_valid_after(genuine_leaf.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(sgx_extension.OID), sgx_extension.encode(machine.platform)), critical=False)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00"), critical=critical)
    )
    return builder.sign(pki.platform_ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("oid", "critical", "sentence"),
    [
        (SIMULATED_MARKER_OID, False, None),
        (SIMULATED_MARKER_OID, True, "Failed to parse PCK certificate"),
        ("2.25.121123224995686676759513682293974670136", False, "Failed to decode certificate"),
    ],
)
def test_why_the_marker_is_what_it_is(machine: SimulatedMachine, oid: str, critical: bool, sentence: str | None) -> None:
    """The table of decision 0002, provoked; a release of the library that changes a row shall be noticed."""
    pck_key = ec.generate_private_key(ec.SECP256R1())
    own = SimulatedMachine(machine.pki, machine.clock)
    own.pck = x509.load_pem_x509_certificate(_leaf(machine.pki, machine, oid, pck_key, critical=critical))
    own.enclave = own._quoting_enclave(pck_key)

    verifier = dcap_qvl.QuoteVerifier(machine.pki.root_der)
    arguments = (own.quote(REPORT_DATA), library_collateral(own.collateral()), NOW, dcap_qvl.QuotePolicy.claims_only(NOW))
    if sentence is None:
        verifier.verify_with_policy(*arguments)
    else:
        with pytest.raises(ValueError, match=sentence):
            verifier.verify_with_policy(*arguments)


# Chains and revocation


def test_a_chain_under_one_root_is_in_order(machine: SimulatedMachine) -> None:
    _, chain, collateral = read(machine)

    genuine.check_pck_chain(chain, NOW)
    genuine.check_signers(collateral, chain)
    genuine.check_revocation(collateral, chain)


def test_certificates_of_another_root_are_refused_by_name(machine: SimulatedMachine) -> None:
    _, chain, collateral = read(machine)
    _, foreign_chain, foreign_collateral = read(SimulatedMachine(create_pki(NOW), FrozenClock()))

    with refused("chain.pck"):
        genuine.check_pck_chain(msgspec.structs.replace(chain, ca=foreign_chain.ca), NOW)
    with refused("chain.pck"):
        genuine.check_pck_chain(msgspec.structs.replace(chain, root=foreign_chain.root), NOW)
    with refused("chain.tcb_signing"):
        genuine.check_signers(foreign_collateral, chain)
    for crl in ("root_crl", "pck_crl"):
        with refused("chain.revocation"):
            genuine.check_revocation(msgspec.structs.replace(collateral, **{crl: getattr(foreign_collateral, crl)}), chain)


@pytest.mark.parametrize(("kind", "who"), [("revoked-pck", "PCK certificate"), ("revoked-ca", "PCK CA"), ("revoked-tcb-signer", "TCB info signer")])
def test_a_revoked_certificate_is_named(machine: SimulatedMachine, kind: str, who: str) -> None:
    _, chain, collateral = read(BrokenMachine(machine, kind))

    with pytest.raises(EvidenceRefused, match=f"{who}.* revoked"):
        genuine.check_revocation(collateral, chain)


def test_bytes_that_are_no_certificates_are_refused() -> None:
    with refused("quote.certification_data"):
        genuine.load_chain(PckChain(b"leaf", b"ca", b"root"))


def test_collateral_is_asked_for_by_family_and_ca(machine: SimulatedMachine) -> None:
    quote, _, _ = read(machine)

    assert genuine.collateral_need(quote) == CollateralNeed(machine.platform.fmspc.hex().upper(), "platform")


def test_a_certificate_without_a_platform_needs_nothing_that_exists(machine: SimulatedMachine) -> None:
    quote, _, _ = read(machine)
    without = msgspec.structs.replace(quote, raw=quote.raw[:1258] + b"-----BEGIN" + quote.raw[1268:])
    garbled = msgspec.structs.replace(quote, raw=quote.raw.replace(b"-----BEGIN CERTIFICATE-----\nM", b"-----BEGIN CERTIFICATE-----\nA", 1))

    for bent in (garbled, msgspec.structs.replace(without, raw=b"")):
        with refused("quote.certification_data"):
            genuine.collateral_need(bent)


# The library


def test_what_the_library_found_is_told(machine: SimulatedMachine) -> None:
    quote, _, collateral = read(machine)

    claims = genuine.verify(quote, collateral, pinned(machine), NOW)

    assert claims.tcb_status == "UpToDate"
    assert claims.advisories == ()
    assert claims.fmspc == machine.platform.fmspc.hex().upper()
    assert claims.tcb_evaluation_data_number == machine.pcs.endorsement.evaluation_number
    assert claims.dynamic_platform == str(machine.platform.dynamic_platform)
    assert claims.cached_keys == str(machine.platform.cached_keys)
    assert claims.smt == str(machine.platform.smt_enabled)


def test_a_status_below_up_to_date_is_told_and_left_to_the_policy(machine: SimulatedMachine) -> None:
    outdated = BrokenMachine(machine, "tcb-out-of-date")
    quote, _, collateral = read(outdated)

    claims = genuine.verify(quote, collateral, pinned(machine), NOW)

    assert claims.tcb_status == "OutOfDate"
    assert claims.advisories


def test_a_panic_of_the_library_is_a_refusal(machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # as pyo3 names it; it can't be imported
        pass

    def panic(*arguments: object) -> None:
        raise PanicException

    quote, _, collateral = read(machine)
    monkeypatch.setattr(dcap_qvl, "QuoteVerifier", panic)

    with refused("quote.library_verdict"):
        genuine.verify(quote, collateral, pinned(machine), NOW)


def test_an_interrupt_is_no_verdict(machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    quote, _, collateral = read(machine)
    monkeypatch.setattr(dcap_qvl, "QuoteVerifier", interrupt)

    with pytest.raises(KeyboardInterrupt):
        genuine.verify(quote, collateral, pinned(machine), NOW)


@pytest.mark.parametrize(
    "document", ["{}", "[]", '{"tcb":{"status":"UpToDate","advisory_ids":[],"eval_data_number":1},"platform":{"pck":{"fmspc":[256]}}}']
)
def test_claims_in_an_unknown_form_are_refused(document: str) -> None:
    with refused("quote.library_verdict"):
        genuine._platform_claims(document)


def test_an_fmspc_that_is_no_bytes_is_refused() -> None:
    tcb = '{"status":"UpToDate","advisory_ids":[],"eval_data_number":1}'
    pck = '{"fmspc":[256],"dynamic_platform":"True","cached_keys":"True","smt_enabled":"True"}'

    with refused("quote.library_verdict"):
        genuine._platform_claims(f'{{"tcb":{tcb},"platform":{{"pck":{pck}}}}}')
