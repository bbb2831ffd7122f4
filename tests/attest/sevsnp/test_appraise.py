"""The steps as a whole: what is accepted, what each single defect is refused as, and that nothing passes by omission."""

from datetime import date

import msgspec
import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import SnpEvidence
from ollm.attest.sevsnp import appraise
from ollm.attest.sevsnp.checks import CHECKS
from ollm.attest.sevsnp.layout import parse_report
from ollm.testing.mint.snp import TCB, SnpMachine, overwritten, tcb_bytes
from ollm.testing.mint.snp_certificates import DAY
from ollm.values.policy import SnpGrace, SnpPolicy, SnpTcb
from tests.attest.sevsnp.machines import NOW, accepted, machine, pki, raises, refused

GENOA, VLEK = machine(), machine(vlek=True)
REPORT, COLLATERAL, POLICY = GENOA.report(), GENOA.collateral(), GENOA.policy()
OLD = msgspec.structs.replace(TCB, snp=23)


# Accepted


@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("vlek", [False, True])
def test_a_genuine_wanted_machine_is_accepted(product: str, vlek: bool, version: int) -> None:
    each = machine(product, vlek=vlek)
    report = each.report(version=version)

    facts = accepted(report, each.collateral(), each.policy())

    assert facts.identity == parse_report(report).identity
    assert facts.facts["product"] == product
    assert facts.matching == (each.reference_values(),)
    assert [warning.split(":")[0] for warning in facts.warnings] == (["AMD Milan"] if product == "Milan" else [])


def test_the_first_end_among_all_counts() -> None:
    ends = {"leaf": GENOA.leaf(end=NOW + 9 * DAY), "crl": GENOA.crl(expires=NOW + 8 * DAY)}

    assert accepted(REPORT, COLLATERAL, POLICY).valid_until == NOW + 330 * DAY
    assert accepted(REPORT, GENOA.collateral(leaf=ends["leaf"]), POLICY).valid_until == NOW + 9 * DAY
    assert accepted(REPORT, GENOA.collateral(**ends), POLICY).valid_until == NOW + 8 * DAY
    grace = SnpGrace(product="Genoa", min_tcb=TCB, until=date(2027, 1, 20), reason="TCB recovery")
    graced = GENOA.policy(min_tcb={"Genoa": msgspec.structs.replace(TCB, snp=25)}, grace=(grace,))
    found = accepted(REPORT, GENOA.collateral(**ends), graced)
    assert found.valid_until == 1_800_403_200  # 2027-01-20
    assert "accepted until 2027-01-20" in found.warnings[0]


def test_genuine_alone_compares_nothing() -> None:
    unknown = GENOA.policy(reference_values=())

    assert accepted(REPORT, COLLATERAL, unknown, compare=False).matching == ()
    assert refused(REPORT, COLLATERAL, unknown) == "snp.reference_values"


# Refused: what is not genuine


@pytest.mark.parametrize(
    ("check", "what", "report", "collateral", "now"),
    [
        ("snp.format", "no report", b"", COLLATERAL, NOW),
        ("snp.format", "bytes behind the report", REPORT + b"\x00", COLLATERAL, NOW),
        ("snp.collateral", "no chain", REPORT, GENOA.collateral(chain=""), NOW),
        ("snp.certificate", "no leaf", REPORT, GENOA.collateral(leaf=b""), NOW),
        ("platform.marker", "hardware's leaf", REPORT, GENOA.collateral(leaf=GENOA.leaf(marked=False)), NOW),
        ("snp.signing_key", "another algorithm", GENOA.report(signature_algorithm=2), COLLATERAL, NOW),
        ("snp.signing_key", "key masked", GENOA.report(flags=0b10), COLLATERAL, NOW),
        ("snp.signing_key", "VCEK's report, VLEK's certificate", REPORT, VLEK.collateral(), NOW),
        ("snp.signing_key", "not signed", GENOA.report(flags=7 << 2), COLLATERAL, NOW),
        ("snp.product", "certificate of another product", machine("Turin").report(), COLLATERAL, NOW),
        ("snp.root", "foreign root", REPORT, SnpMachine(pki("Turin"), NOW).collateral(leaf=GENOA.leaf()), NOW),
        ("snp.chain", "foreign leaf", REPORT, GENOA.collateral(leaf=GENOA.leaf(issuer=pki("Turin").ask)), NOW),
        ("snp.chain", "intermediate of the providers", REPORT, GENOA.collateral(chain=VLEK.chain), NOW),
        ("snp.validity", "expired leaf", REPORT, GENOA.collateral(leaf=GENOA.leaf(end=NOW)), NOW),
        ("snp.validity", "leaf from the future", REPORT, GENOA.collateral(leaf=GENOA.leaf(start=NOW + 1)), NOW),
        ("snp.validity", "expired CRL", REPORT, GENOA.collateral(crl=GENOA.crl(expires=NOW)), NOW),
        ("snp.validity", "CRL from the future", REPORT, GENOA.collateral(crl=GENOA.crl(issued=NOW + 1)), NOW),
        ("snp.validity", "before the chain", REPORT, COLLATERAL, NOW - 901 * DAY),
        ("snp.validity", "after everything", REPORT, COLLATERAL, 2**70),
        ("snp.revocation", "no CRL", REPORT, GENOA.collateral(crl=None), NOW),
        ("snp.revocation", "revoked ASK", REPORT, GENOA.collateral(crl=GENOA.crl(revoked=(GENOA.pki.ask.certificate.serial_number,))), NOW),
        ("snp.revocation", "revoked VCEK", REPORT, GENOA.collateral(leaf=GENOA.leaf(serial=5), crl=GENOA.crl(revoked=(5,))), NOW),
        ("snp.revocation", "foreign CRL", REPORT, GENOA.collateral(crl=GENOA.crl(issuer=pki("Turin").ark)), NOW),
        ("snp.chip", "another chip", GENOA.report(chip_id=b"\x55" * 64), COLLATERAL, NOW),
        ("snp.endorsed_tcb", "old firmware says it is new", GENOA.report(),
            GENOA.collateral(leaf=GENOA.leaf(statements=GENOA.statements({"3.3": b"\x02\x01\x17"}))), NOW),
        ("snp.endorsed_tcb", "report older than its certificate", GENOA.report(reported_tcb=tcb_bytes(OLD, "Genoa")), COLLATERAL, NOW),
        ("snp.signature", "another key", SnpMachine(GENOA.pki, NOW).report(), COLLATERAL, NOW),
        ("snp.signature", "changed after signing", overwritten(REPORT, {0x50: b"\x01"}), COLLATERAL, NOW),
    ],
)  # fmt: skip
def test_what_is_not_genuine_is_refused(check: str, what: str, report: bytes, collateral: object, now: int) -> None:
    assert refused(report, collateral, POLICY, now) == check, what  # type: ignore[arg-type]


def test_simulated_and_real_hardware_do_not_mix() -> None:
    unmarked = GENOA.collateral(leaf=GENOA.leaf(marked=False))

    assert refused(REPORT, COLLATERAL, SnpPolicy()) == "platform.marker"
    assert refused(REPORT, unmarked, SnpPolicy()) == "snp.root"
    assert refused(REPORT, unmarked, POLICY) == "platform.marker"
    assert refused(REPORT, COLLATERAL, GENOA.policy(simulated_root_sha256="00" * 32)) == "snp.root"


# Refused: what is not wanted


@pytest.mark.parametrize(
    ("check", "changes", "policy"),
    [
        ("snp.policy_bits", {"policy": 0x10000}, {}),
        ("snp.debug", {"policy": 0xB0000}, {}),
        ("snp.migration", {"policy": 0x70000}, {}),
        ("snp.migration", {"report_id_ma": bytes(32)}, {}),
        ("snp.smt", {}, {"allow_smt": False}),
        ("snp.single_socket", {}, {"require_single_socket": True}),
        ("snp.vmpl", {"vmpl": 1}, {}),
        ("snp.vmpl", {}, {"vmpls": (1,)}),
        ("snp.author_key", {"flags": 1}, {}),
        ("snp.author_key", {"author_key_digest": b"\x01" * 48}, {}),
        ("snp.product_accepted", {}, {"products": ("Milan", "Turin")}),
        ("snp.chip_listed", {}, {"chips": ("00" * 64,)}),
        ("snp.tcb_format", {"launch_tcb": b"\x04\x00\x01\x00\x00\x00\x18\xdb"}, {}),
        ("snp.tcb_order", {"committed_tcb": tcb_bytes(OLD, "Genoa")}, {}),
        ("snp.tcb_order", {"current_tcb": tcb_bytes(OLD, "Genoa")}, {}),
        ("snp.tcb_order", {"current_version": (1, 55, 42)}, {}),
        ("snp.tcb", {}, {"min_tcb": {"Genoa": msgspec.structs.replace(TCB, microcode=220)}}),
        ("snp.tcb", {"launch_tcb": tcb_bytes(OLD, "Genoa")}, {"min_tcb": {"Genoa": TCB}}),
        ("snp.reference_values", {"measurement": bytes(48)}, {}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(host_data="11" * 32),)}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(id_key_digest="11" * 48),)}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(author_key_digest="11" * 48),)}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(family_id="11" * 16),)}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(image_id="11" * 16),)}),
        ("snp.reference_values", {}, {"reference_values": (GENOA.reference_values(min_guest_svn=1),)}),
    ],
)
def test_what_is_not_wanted_is_refused(check: str, changes: dict[str, object], policy: dict[str, object]) -> None:
    assert refused(GENOA.report(**changes), COLLATERAL, GENOA.policy(**policy)) == check


@pytest.mark.parametrize("policy", [{"allow_vlek": False}, {"vlek_csp_ids": ()}, {"vlek_csp_ids": ("CN=another.invalid",)}])
def test_a_providers_key_is_refused_where_it_is_not_listed(policy: dict[str, object]) -> None:
    assert refused(VLEK.report(), VLEK.collateral(), VLEK.policy(**policy)) == "snp.provider"


def test_a_masked_chip_is_refused_where_chips_are_listed() -> None:
    assert refused(VLEK.report(), VLEK.collateral(), VLEK.policy(chips=("00" * 64,))) == "snp.chip_listed"
    assert accepted(REPORT, COLLATERAL, GENOA.policy(chips=(GENOA.chip_id.hex(),))).hardware_id == GENOA.chip_id.hex()


def test_turins_numbers_are_not_read_as_genoas() -> None:
    turin = machine("Turin")
    floor = SnpTcb(snp=24)

    assert refused(turin.report(), turin.collateral(), turin.policy(min_tcb={"Turin": floor})) is None
    low = SnpMachine(turin.pki, NOW, tcb=msgspec.structs.replace(TCB, snp=23))
    assert refused(low.report(), low.collateral(), low.policy(min_tcb={"Turin": floor})) == "snp.tcb"


# Revocation, where a policy does without


def test_a_policy_that_needs_no_crl_still_heeds_one() -> None:
    lenient = GENOA.policy(require_crl=False)
    revoking = GENOA.collateral(crl=GENOA.crl(revoked=(GENOA.pki.ask.certificate.serial_number,)))

    assert "revocation was not checked" in accepted(REPORT, GENOA.collateral(crl=None), lenient).warnings[0]
    assert accepted(REPORT, COLLATERAL, lenient).warnings == ()
    assert refused(REPORT, revoking, lenient) == "snp.revocation"
    assert refused(REPORT, GENOA.collateral(crl=GENOA.crl(expires=NOW)), lenient) == "snp.validity"


# The plan


def test_the_plan_is_the_table_in_its_order() -> None:
    assert tuple(CHECKS) == appraise.PLAN
    optional = {"snp.revocation", "snp.chip_listed", "snp.reference_values"}
    assert appraise.plan(SnpPolicy(chips=())) == appraise.PLAN
    assert appraise.plan(SnpPolicy(require_crl=False), compare=False) == tuple(name for name in appraise.PLAN if name not in optional)
    assert "snp.chip_listed" not in appraise.plan(SnpPolicy())


def test_a_refusal_stands_in_its_place_in_the_trail() -> None:
    trail = Trail(appraise.plan(POLICY))
    with raises("snp.debug") as raised:
        appraise.genuine_report(trail, SnpEvidence(report=GENOA.report(policy=0xB0000)), COLLATERAL, POLICY, NOW)

    checks = {check.name: check.outcome for check in trail.refused(raised.value)}
    assert list(checks) == list(appraise.plan(POLICY))
    at = list(checks).index("snp.debug")
    assert list(checks.values()) == ["passed"] * at + ["failed"] + ["not_reached"] * (len(checks) - at - 1)
