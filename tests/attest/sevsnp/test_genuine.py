"""From the pinned root to the signature of a report: each link is refused by its own name."""

from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ollm.attest.sevsnp import genuine
from ollm.attest.sevsnp.endorsement import read_endorsement
from ollm.attest.sevsnp.genuine import AMD_ROOTS, Endorsements, SimulatedRoot, VendorRoot
from ollm.attest.sevsnp.layout import SnpReport, parse_report
from ollm.attest.sevsnp.product import PRODUCTS
from ollm.testing.mint.snp import CPUS, TCB, SnpMachine, tcb_bytes
from ollm.testing.mint.snp_certificates import DAY, RsaAuthority, authority
from ollm.values.policy import SnpPolicy
from tests.attest.sevsnp.machines import NOW, machine, pki, raises

GENOA, VLEK = machine(), machine(vlek=True)
PKI = GENOA.pki
ROOT = SimulatedRoot(PKI.root_sha256)
OTHER_KEY = ec.generate_private_key(ec.SECP384R1())


def read(each: SnpMachine = GENOA, **changes: Any) -> Endorsements:
    return genuine.read_collateral(each.collateral(**changes))


def report(each: SnpMachine = GENOA, **changes: object) -> SnpReport:
    return parse_report(each.report(**changes))


def reissued(**changes: object) -> RsaAuthority:
    """The ASK, issued again with `changes`."""
    arguments: dict[str, object] = {"start": NOW - DAY, "end": NOW + DAY, "key": PKI.ask.key}
    return authority("SEV-Genoa", PKI.ark, **{**arguments, **changes})  # type: ignore[arg-type]


def reissued_root(**changes: object) -> RsaAuthority:
    """The ARK, issued again with `changes`: the pin is its key's, so it is still the pinned root."""
    arguments: dict[str, object] = {"start": NOW - DAY, "end": NOW + DAY, "key": PKI.ark.key, "path_length": None}
    return authority("ARK-Genoa", None, **{**arguments, **changes})  # type: ignore[arg-type]


# Roots


def test_the_vendors_roots_are_compiled_in_and_take_no_argument() -> None:
    assert isinstance(genuine.root_of(SnpPolicy()), VendorRoot)
    assert not VendorRoot().simulated
    assert set(AMD_ROOTS) == set(PRODUCTS)
    assert len(set(AMD_ROOTS.values())) == 3
    assert [VendorRoot().sha256(product) for product in PRODUCTS] == list(AMD_ROOTS.values())
    with pytest.raises(TypeError):
        VendorRoot("00" * 32)  # type: ignore[call-arg]


def test_a_pinned_root_makes_the_whole_policy_simulated() -> None:
    root = genuine.root_of(SnpPolicy(simulated_root_sha256="00" * 32))

    assert isinstance(root, SimulatedRoot)
    assert root.simulated
    assert {root.sha256(product) for product in PRODUCTS} == {"00" * 32}


def test_a_root_is_known_by_its_key() -> None:
    genuine.check_root(read(), ROOT)
    with raises("snp.root", "of Genoa"):
        genuine.check_root(read(), VendorRoot())
    with raises("snp.root"):
        genuine.check_root(read(machine("Turin")), ROOT)


def test_a_root_whose_key_cannot_be_read_is_refused() -> None:
    rsa_key, unknown_key = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d01017f")
    der = PKI.ark.certificate.public_bytes(serialization.Encoding.DER).replace(rsa_key, unknown_key, 1)

    with raises("snp.root", "can't be read"):
        genuine.check_root(msgspec.structs.replace(read(), root=x509.load_der_x509_certificate(der)), ROOT)


# Collateral


@pytest.mark.parametrize(
    ("check", "what", "changes"),
    [
        ("snp.collateral", "no chain", {"chain": ""}),
        ("snp.collateral", "ASK alone", {"chain": PKI.ask.pem}),
        ("snp.collateral", "a third certificate", {"chain": GENOA.chain + PKI.ark.pem}),
        ("snp.collateral", "text", {"chain": "no certificate"}),
        ("snp.collateral", "a lone surrogate", {"chain": GENOA.chain + "\ud800"}),
        ("snp.collateral", "an endless chain", {"chain": GENOA.chain + "\n" * genuine.MAX_CHAIN}),
        ("snp.collateral", "no CRL in the CRL", {"crl": b""}),
        ("snp.collateral", "a certificate as CRL", {"crl": GENOA.leaf()}),
        ("snp.collateral", "an endless CRL", {"crl": bytes(genuine.MAX_CRL + 1)}),
        ("snp.certificate", "no leaf", {"leaf": b""}),
    ],
)
def test_collateral_that_cannot_be_read_is_refused(check: str, what: str, changes: dict[str, Any]) -> None:
    with raises(check):
        read(**changes)


def test_sizes_are_judged_before_anything_is_parsed() -> None:
    with raises("snp.collateral", "1048577 bytes"):
        read(crl=bytes(genuine.MAX_CRL + 1))
    with raises("snp.collateral", "no CRL"):
        read(crl=bytes(genuine.MAX_CRL))
    with raises("snp.collateral", f"{genuine.MAX_CHAIN + 1} characters"):
        read(chain=" " * (genuine.MAX_CHAIN + 1))


def test_every_document_has_its_period() -> None:
    assert [period.name for period in read().periods] == ["VCEK", "ASK or ASVK", "ARK", "AMD's CRL"]
    assert [period.name for period in read(VLEK, crl=None).periods] == ["VLEK", "ASK or ASVK", "ARK"]


def test_dates_that_no_calendar_holds_are_refused() -> None:
    last_second = GENOA.leaf(end=253_402_300_799)

    with raises("snp.collateral", "no calendar"):
        read(leaf=last_second.replace(b"99991231235959Z", b"00000101000000Z"))


# The report's words about its signer


@pytest.mark.parametrize("algorithm", [0, 2, 2**32 - 1])
def test_there_is_one_algorithm(algorithm: int) -> None:
    with raises("snp.signing_key", f"algorithm {algorithm}"):
        genuine.check_signing_key(report(signature_algorithm=algorithm), read().leaf)


def test_firmware_that_was_told_not_to_sign_is_refused() -> None:
    with raises("snp.signing_key", "MASK_CHIP_KEY"):
        genuine.check_signing_key(report(flags=0b10), read().leaf)


@pytest.mark.parametrize("signing_key", range(8))
def test_the_kind_of_key_is_that_of_the_certificate(signing_key: int) -> None:
    for each, own in ((GENOA, 0), (VLEK, 1)):
        stated, leaf = report(each, flags=signing_key << 2), read(each).leaf
        if signing_key == own:
            genuine.check_signing_key(stated, leaf)
        else:
            with raises("snp.signing_key", f"signing key {signing_key}"):
                genuine.check_signing_key(stated, leaf)


def test_cpu_and_certificate_are_of_one_product_line() -> None:
    for product in PRODUCTS:
        leaf = read(machine(product)).leaf
        for other in PRODUCTS:
            stated = report(cpuid=CPUS[other])
            if other == product:
                genuine.check_product(stated, leaf)
            else:
                with raises("snp.product", f"certificate of {product}"):
                    genuine.check_product(stated, leaf)
    with raises("snp.product", "family 0x17, model 0x31"):
        genuine.check_product(report(cpuid=(0x17, 0x31, 0)), read().leaf)


def test_a_report_of_version_2_names_no_cpu() -> None:
    genuine.check_product(report(version=2, cpuid=(0, 0, 0)), read(machine("Milan")).leaf)


# The chain


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("vlek", [False, True])
def test_whole_chains(product: str, vlek: bool) -> None:
    genuine.check_chain(read(machine(product, vlek=vlek)))


def test_an_intermediate_of_another_kind_of_key_is_refused() -> None:
    for each, wrong, name in ((GENOA, PKI.asvk, "SEV-VLEK-Genoa"), (VLEK, PKI.ask, "SEV-Genoa")):
        crossed = read(each, leaf=each.leaf(issuer=wrong), chain=wrong.pem + PKI.ark.pem)
        with raises("snp.chain", name):
            genuine.check_chain(crossed)


def test_a_leaf_with_another_name_is_refused() -> None:
    with raises("snp.chain", "SEV-VLEK.*want SEV-VCEK"):
        genuine.check_chain(read(leaf=GENOA.leaf(name="SEV-VLEK")))


def test_a_certificate_of_another_issuer_is_refused() -> None:
    turin = pki("Turin")
    stolen_name = authority("SEV-Genoa", PKI.ark, start=NOW - DAY, end=NOW + DAY)  # another key under the ASK's name
    impostor = RsaAuthority(stolen_name.certificate, turin.ask.key)
    for changes, name in (
        ({"leaf": GENOA.leaf(issuer=turin.ask)}, "VCEK by another"),
        ({"leaf": GENOA.leaf(issuer=impostor)}, "VCEK by another"),
        ({"chain": turin.ask.pem + PKI.ark.pem}, "ASK or ASVK by another"),
        ({"chain": PKI.ask.pem + turin.ark.pem}, "ASK or ASVK by another"),
        ({"chain": PKI.ask.pem + PKI.ask.pem}, "ARK by another"),
    ):
        with raises("snp.chain", name):
            genuine.check_chain(read(**changes))


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("no authority", {"ca": False}),
        ("no basic constraints", {"constrained": False}),
        ("not for certificates", {"certifying": False}),
        ("unknown critical extension", {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]}),
        ("PKCS #1 v1.5", {"digest": hashes.SHA256()}),
    ],
)
def test_certificates_that_amd_would_not_issue_are_refused(what: str, changes: dict[str, object]) -> None:
    for chain in (reissued(**changes).pem + PKI.ark.pem, PKI.ask.pem + reissued_root(**changes).pem):
        with raises("snp.chain"):
            genuine.check_chain(read(chain=chain))


def test_reissued_certificates_are_as_good_as_the_first() -> None:
    genuine.check_chain(read(chain=reissued().pem + reissued_root().pem))
    genuine.check_chain(read(chain=reissued(path_length=None).pem + reissued_root(path_length=1).pem))


def test_the_root_must_allow_one_more_authority() -> None:
    with raises("snp.chain", "ARK"):
        genuine.check_chain(read(chain=PKI.ask.pem + reissued_root(path_length=0).pem))


def test_a_leaf_or_crl_signed_with_another_algorithm_is_refused() -> None:
    with raises("snp.chain", "VCEK signed with another algorithm"):
        genuine.check_chain(read(leaf=GENOA.leaf(digest=hashes.SHA256(), serial=9)))
    with raises("snp.revocation", "CRL signed with another algorithm"):
        genuine.check_revocation(read(crl=GENOA.crl(digest=hashes.SHA256())))


def test_a_certificate_whose_name_cannot_be_read_is_refused() -> None:
    bent = x509.load_der_x509_certificate(GENOA.leaf().replace(b"SEV-VCEK", b"SEV-VCE\xff"))

    with raises("snp.chain", "malformed name"):
        genuine._check_name(bent, "SEV-VCEK", "snp.chain")


# Revocation


def test_who_is_not_listed_is_not_revoked() -> None:
    genuine.check_revocation(read())
    genuine.check_revocation(read(VLEK, crl=GENOA.crl(revoked=(PKI.ask.certificate.serial_number,))))


def test_revoked_is_who_is_listed() -> None:
    ask, asvk = PKI.ask.certificate.serial_number, PKI.asvk.certificate.serial_number
    with raises("snp.revocation", "ASK or ASVK revoked"):
        genuine.check_revocation(read(crl=GENOA.crl(revoked=(1, ask, 2))))
    with raises("snp.revocation", "ASK or ASVK revoked"):
        genuine.check_revocation(read(VLEK, crl=GENOA.crl(revoked=(asvk,))))
    with raises("snp.revocation", "VCEK revoked"):
        genuine.check_revocation(read(leaf=GENOA.leaf(serial=77), crl=GENOA.crl(revoked=(77,))))
    with raises("snp.revocation", "VLEK revoked"):
        genuine.check_revocation(read(VLEK, leaf=VLEK.leaf(serial=77), crl=GENOA.crl(revoked=(77,))))


def test_no_crl_is_no_answer() -> None:
    with raises("snp.revocation", "no CRL"):
        genuine.check_revocation(read(crl=None))


def test_a_crl_is_by_the_root() -> None:
    for issuer in (PKI.ask, pki("Turin").ark, RsaAuthority(PKI.ark.certificate, PKI.ask.key)):
        with raises("snp.revocation", "CRL by another issuer"):
            genuine.check_revocation(read(crl=GENOA.crl(issuer=issuer)))


def test_a_crl_about_some_certificates_only_is_refused() -> None:
    partial = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)

    with raises("snp.revocation", "critical extension"):
        genuine.check_revocation(read(crl=GENOA.crl(extensions=[(partial, True)])))


def test_a_root_that_may_not_sign_crls_revokes_nothing() -> None:
    with raises("snp.revocation", "may not sign CRLs"):
        genuine.check_revocation(read(chain=PKI.ask.pem + reissued_root(revoking=False).pem))


# The key is this chip's, at this firmware, and it signed


def test_the_chip_is_the_certified_one() -> None:
    genuine.check_chip(report(), read().leaf)
    genuine.check_chip(report(machine("Turin")), read(machine("Turin")).leaf)
    genuine.check_chip(report(VLEK, chip_id=b"\x11" * 64), read(VLEK).leaf)  # a provider's key is of no chip
    with raises("snp.chip"):
        genuine.check_chip(report(chip_id=GENOA.chip_id[:-1] + b"\x00"), read().leaf)
    with raises("snp.chip"):
        genuine.check_chip(report(chip_id=bytes(64)), read().leaf)  # masked
    with raises("snp.chip"):
        genuine.check_chip(report(machine("Turin"), chip_id=bytes(range(1, 65))), read(machine("Turin")).leaf)  # all 64 bytes count


@pytest.mark.parametrize("component", ["bootloader", "tee", "snp", "microcode", "fmc"])
@pytest.mark.parametrize("step", [-1, 1])
def test_the_certificate_is_for_exactly_the_reported_tcb(component: str, step: int) -> None:
    turin = machine("Turin")
    certified = msgspec.structs.replace(TCB, tee=3, fmc=3)
    leaf = read_endorsement(SnpMachine(turin.pki, NOW, tcb=certified).leaf())
    stated = msgspec.structs.replace(certified, **{component: getattr(certified, component) + step})

    genuine.check_endorsed_tcb(report(turin, reported_tcb=tcb_bytes(certified, "Turin")), leaf)
    with raises("snp.endorsed_tcb"):
        genuine.check_endorsed_tcb(report(turin, reported_tcb=tcb_bytes(stated, "Turin")), leaf)


def test_the_certified_key_signed_the_report() -> None:
    genuine.check_signature(report(), read().leaf)
    with raises("snp.signature", "does not verify"):
        genuine.check_signature(report(), read(leaf=GENOA.leaf(public_key=OTHER_KEY.public_key())).leaf)


@pytest.mark.parametrize("scalars", [{"r": 0}, {"s": 0}, {"r": 2**384 - 1}, {"s": 2**384 - 1}, {"r": 0, "s": 0}])
def test_scalars_outside_of_the_curve_are_refused(scalars: dict[str, int]) -> None:
    with raises("snp.signature"):
        genuine.check_signature(msgspec.structs.replace(report(), **scalars), read().leaf)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_a_key_of_another_kind_is_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with raises("snp.signature", "another kind"):
        genuine.check_signature(report(), read(leaf=GENOA.leaf(public_key=key.public_key())).leaf)


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    numbers = GENOA.key.public_key().public_numbers()
    point = numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big")
    bent = GENOA.leaf().replace(point, point[:-1] + bytes([point[-1] ^ 1]))

    with raises("snp.signature", "can't be read"):
        genuine.check_signature(report(), read_endorsement(bent))
