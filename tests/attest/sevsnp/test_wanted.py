"""Policy: each check refuses what it names, and lets pass what stands right beside it."""

import time
from datetime import UTC, date, datetime

import msgspec
import pytest

from ollm.attest.sevsnp import wanted
from ollm.attest.sevsnp.endorsement import Endorsement, read_endorsement
from ollm.attest.sevsnp.layout import SnpReport, parse_report
from ollm.attest.sevsnp.product import Tcbs
from ollm.testing.mint.snp import CSP_ID
from ollm.values.policy import SnpGrace, SnpPolicy, SnpTcb
from tests.attest.sevsnp.machines import machine, raises

GENOA, VLEK = machine(), machine(vlek=True)
LEAF, PROVIDERS = read_endorsement(GENOA.leaf()), read_endorsement(VLEK.leaf())
TCB = SnpTcb(bootloader=4, tee=1, snp=24, microcode=219, fmc=1)


def report(**changes: object) -> SnpReport:
    return parse_report(GENOA.report(**changes))


# The guest's policy


@pytest.mark.parametrize("policy", [0x20000, 0x30000, 0x3001F, 0x2FFFF, 0x3FFFFFF])
def test_known_bits_of_the_guests_policy(policy: int) -> None:
    wanted.check_policy_bits(report(policy=policy))


@pytest.mark.parametrize("policy", [0, 0x10000, 0x1FFFF, 0x30000 | 1 << 26, 0x30000 | 1 << 63])
def test_a_bit_that_must_be_one_or_is_unknown(policy: int) -> None:
    with raises("snp.policy_bits", f"{policy:#x}"):
        wanted.check_policy_bits(report(policy=policy))


def test_debugging() -> None:
    wanted.check_debug(report(policy=0x3FFFFFF & ~(1 << 19)))
    with raises("snp.debug"):
        wanted.check_debug(report(policy=0x30000 | 1 << 19))


def test_migration() -> None:
    allowed, bound = report(policy=0x30000 | 1 << 18), report(report_id_ma=b"\xff" * 31 + b"\xfe")

    wanted.check_migration(report(policy=0x3FFFFFF & ~(1 << 18)), SnpPolicy())
    for migrating in (allowed, bound):
        with raises("snp.migration"):
            wanted.check_migration(migrating, SnpPolicy())
        wanted.check_migration(migrating, SnpPolicy(allow_migration_agent=True))


def test_smt() -> None:
    with_smt, without = report(policy=0x30000), report(policy=0x20000)

    wanted.check_smt(with_smt, SnpPolicy())
    wanted.check_smt(without, SnpPolicy(allow_smt=False))
    with raises("snp.smt"):
        wanted.check_smt(with_smt, SnpPolicy(allow_smt=False))


def test_sockets() -> None:
    many, one = report(policy=0x30000), report(policy=0x30000 | 1 << 20)

    wanted.check_single_socket(many, SnpPolicy())
    wanted.check_single_socket(one, SnpPolicy(require_single_socket=True))
    with raises("snp.single_socket"):
        wanted.check_single_socket(many, SnpPolicy(require_single_socket=True))


def test_privilege_levels() -> None:
    wanted.check_vmpl(report(vmpl=0), SnpPolicy())
    wanted.check_vmpl(report(vmpl=1), SnpPolicy(vmpls=(0, 1)))
    for vmpl, vmpls in ((1, (0,)), (0, (1,)), (2, (0, 1)), (0xFFFFFFFF, (0, 1, 2, 3)), (0, ())):
        with raises("snp.vmpl", str(vmpl)):
            wanted.check_vmpl(report(vmpl=vmpl), SnpPolicy(vmpls=vmpls))


@pytest.mark.parametrize(("flag", "said", "digest"), [(0, "clear", b"\x01" + bytes(47)), (1, "set", bytes(48))])
def test_the_author_keys_flag_and_digest_agree(flag: int, said: str, digest: bytes) -> None:
    with raises("snp.author_key", f"AUTHOR_KEY_EN {said}, digest {digest.hex()}"):
        wanted.check_author_key(report(flags=flag, author_key_digest=digest))
    wanted.check_author_key(report(flags=1 - flag, author_key_digest=digest))


# The machine


def test_product_lines() -> None:
    wanted.check_product_accepted(LEAF, SnpPolicy())
    for products in ((), ("Milan", "Turin"), ("genoa",)):
        with raises("snp.product_accepted", "Genoa"):
            wanted.check_product_accepted(LEAF, SnpPolicy(products=products))


def test_providers() -> None:
    wanted.check_provider(LEAF, SnpPolicy())
    wanted.check_provider(PROVIDERS, SnpPolicy(allow_vlek=True, vlek_csp_ids=("CN=other", CSP_ID)))
    for policy in (
        SnpPolicy(),
        SnpPolicy(vlek_csp_ids=(CSP_ID,)),
        SnpPolicy(allow_vlek=True),
        SnpPolicy(allow_vlek=True, vlek_csp_ids=("CN=other", CSP_ID[:-1], CSP_ID + "x")),
    ):
        with raises("snp.provider", "VLEK"):
            wanted.check_provider(PROVIDERS, policy)


def test_a_refusal_holds_no_endless_provider() -> None:
    endless = Endorsement(LEAF.certificate, "vlek", "Genoa", LEAF.tcb, None, "x" * 1000)

    for policy in (SnpPolicy(), SnpPolicy(allow_vlek=True)):
        with raises("snp.provider") as raised:
            wanted.check_provider(endless, policy)
        assert len(raised.value.got) < 130


def test_listed_chips() -> None:
    chip = GENOA.chip_id.hex()

    wanted.check_chip_listed(report(), SnpPolicy())
    wanted.check_chip_listed(report(), SnpPolicy(chips=("00" * 64, chip.upper())))
    for chips in ((), (chip[:-2],), ("00" * 64,)):
        with raises("snp.chip_listed", chip):
            wanted.check_chip_listed(report(), SnpPolicy(chips=chips))


def test_a_masked_chip_is_none_of_the_listed() -> None:
    masked = report(chip_id=bytes(64))

    assert wanted.chip_name(masked) is None
    assert wanted.chip_name(report(chip_id=bytes(63) + b"\x01")) == "00" * 63 + "01"  # a Turin's is mostly zeros
    with raises("snp.chip_listed", "masked"):
        wanted.check_chip_listed(masked, SnpPolicy(chips=("00" * 64,)))


# Firmware


def tcbs(**changes: SnpTcb) -> Tcbs:
    return msgspec.structs.replace(Tcbs(TCB, TCB, TCB, TCB), **changes)


def lower(component: str, by: int = 1) -> SnpTcb:
    return msgspec.structs.replace(TCB, **{component: getattr(TCB, component) - by})


@pytest.mark.parametrize("component", SnpTcb.__struct_fields__)
def test_reported_committed_current(component: str) -> None:
    less = lower(component)

    wanted.check_tcb_order(report(), tcbs())
    wanted.check_tcb_order(report(), tcbs(reported=less))
    wanted.check_tcb_order(report(), tcbs(reported=less, committed=less))
    wanted.check_tcb_order(report(), tcbs(launch=less))
    with raises("snp.tcb_order", "committed .* want at least the reported"):
        wanted.check_tcb_order(report(), tcbs(committed=less))
    with raises("snp.tcb_order", "current .* want at least the committed"):
        wanted.check_tcb_order(report(), tcbs(current=less))


def test_firmware_runs_no_older_version_than_the_committed() -> None:
    wanted.check_tcb_order(report(current_version=(1, 56, 0), committed_version=(1, 55, 43)), tcbs())
    for current in ((1, 55, 42), (1, 54, 99), (0, 99, 99)):
        with raises("snp.tcb_order", "want at least the committed 1.55.43"):
            wanted.check_tcb_order(report(current_version=current, committed_version=(1, 55, 43)), tcbs())


@pytest.mark.parametrize("component", SnpTcb.__struct_fields__)
@pytest.mark.parametrize("which", ["reported", "committed", "current", "launch"])
def test_the_weakest_of_the_four_counts(component: str, which: str) -> None:
    policy, now = SnpPolicy(min_tcb={"Genoa": TCB}), 0

    assert wanted.check_tcb(tcbs(), "Genoa", policy, now) is None
    with raises("snp.tcb", "on Genoa"):
        wanted.check_tcb(tcbs(**{which: lower(component)}), "Genoa", policy, now)


def test_a_minimum_is_of_one_product() -> None:
    policy = SnpPolicy(min_tcb={"Milan": TCB})

    assert wanted.check_tcb(tcbs(reported=SnpTcb()), "Genoa", policy, 0) is None
    with raises("snp.tcb"):
        wanted.check_tcb(tcbs(reported=SnpTcb()), "Milan", policy, 0)


def grace(until: date, **changes: object) -> SnpGrace:
    least: dict[str, object] = {"product": "Genoa", "min_tcb": lower("snp"), "until": until, "reason": "TCB recovery"}
    return SnpGrace(**{**least, **changes})  # type: ignore[arg-type]


DAY_1, DAY_2 = date(2027, 1, 20), date(2027, 2, 20)
END_1 = int(datetime(2027, 1, 20, tzinfo=UTC).timestamp())


def test_a_day_ends_by_utc_wherever_the_verifier_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert wanted.grace_end(grace(DAY_1)) == END_1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_grace_ends_with_its_day() -> None:
    policy = SnpPolicy(min_tcb={"Genoa": TCB}, grace=(grace(DAY_1),))
    less = tcbs(reported=lower("snp"))

    assert wanted.grace_end(grace(DAY_1)) == END_1
    assert wanted.check_tcb(less, "Genoa", policy, END_1 - 1) == grace(DAY_1)
    with raises("snp.tcb"):
        wanted.check_tcb(less, "Genoa", policy, END_1)
    assert wanted.check_tcb(tcbs(), "Genoa", policy, END_1) is None  # what is new enough needs none


@pytest.mark.parametrize(("what", "changes"), [("another product", {"product": "Milan"}), ("a higher minimum", {"min_tcb": TCB})])
def test_a_grace_for_something_else(what: str, changes: dict[str, object]) -> None:
    policy = SnpPolicy(min_tcb={"Genoa": TCB}, grace=(grace(DAY_1, **changes),))

    with raises("snp.tcb"):
        wanted.check_tcb(tcbs(reported=lower("snp")), "Genoa", policy, END_1 - 1)


def test_below_the_grace_is_too_low() -> None:
    with raises("snp.tcb"):
        wanted.check_tcb(tcbs(launch=lower("snp", 2)), "Genoa", SnpPolicy(min_tcb={"Genoa": TCB}, grace=(grace(DAY_1),)), 0)


def test_of_two_graces_the_longer_counts() -> None:
    policy = SnpPolicy(min_tcb={"Genoa": TCB}, grace=(grace(DAY_1), grace(DAY_2), grace(DAY_1, reason="third")))

    assert wanted.check_tcb(tcbs(reported=lower("snp")), "Genoa", policy, 0) == grace(DAY_2)


# What was launched

STATED = {"host_data": "04" * 32, "id_key_digest": "05" * 48, "author_key_digest": "06" * 48, "family_id": "07" * 16, "image_id": "08" * 16}
MEASURED = {name: bytes.fromhex(value) for name, value in STATED.items()}


def test_every_stated_value_must_equal() -> None:
    launched = report(**MEASURED, guest_svn=3)
    values = GENOA.reference_values(**STATED, min_guest_svn=3)

    assert wanted.matching_reference_values(launched, (values,)) == (values,)
    for name in ("measurement", *STATED):
        other = msgspec.structs.replace(values, **{name: "00" * (len(getattr(values, name)) // 2)})
        with raises("snp.reference_values", f"{name} other than in simulated build"):
            wanted.matching_reference_values(launched, (other,))
    with raises("snp.reference_values", "guest_svn other"):
        wanted.matching_reference_values(launched, (msgspec.structs.replace(values, min_guest_svn=4),))


def test_what_is_not_stated_is_not_compared() -> None:
    values = GENOA.reference_values()

    assert wanted.matching_reference_values(report(**MEASURED, guest_svn=9), (values,)) == (values,)


def test_all_that_match_and_the_nearest_that_does_not() -> None:
    near, far = (
        GENOA.reference_values(name="near", host_data="ff" * 32),
        GENOA.reference_values(name="far", measurement="00" * 48, host_data="ff" * 32),
    )
    first, second = GENOA.reference_values(name="first"), GENOA.reference_values(name="second")

    assert wanted.matching_reference_values(report(), (far, first, near, second)) == (first, second)
    with raises("snp.reference_values", "host_data other than in near"):
        wanted.matching_reference_values(report(), (far, near))
    with_two = GENOA.reference_values(name="far", family_id="ff" * 16, host_data="ff" * 32)  # "host_data" sorts before "measurement"
    with raises("snp.reference_values", "measurement other than in near"):
        wanted.matching_reference_values(report(), (with_two, GENOA.reference_values(name="near", measurement="00" * 48)))
    with raises("snp.reference_values", "no reference values in the policy, want"):
        wanted.matching_reference_values(report(), ())
