"""Measured values out of statements, and into a policy."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import reference_values as values
from ollm.testing.mint.provenance import BUILD, verified
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, SnpPolicy, TdxPolicy, TdxReferenceValues, Technology
from ollm.values.provenance import SigningKey, VerifiedStatement
from tests.attest.provenance.common import NOW, caught, refusal

A, B, C, D, E = (letter * 96 for letter in "abcde")
FILE: dict[str, Any] = {
    "issued_at": NOW - 10,
    "expires_at": NOW + 10,
    "tdx": [{"name": "app 1.2", "mrtd": A, "rtmr1": B, "compose_hashes": ["c" * 64]}],
    "sev-snp": [{"name": "app 1.2", "measurement": C, "host_data": "d" * 64, "family_id": "e" * 32, "min_guest_svn": 2}],
    "nitro": [{"name": "app 1.2", "pcr0": D}],
}
SHAPE = {"cpus": 8, "memory_mb": 16384}
TINFOIL: dict[str, Any] = {"snp_measurement": A, "tdx_measurement": {"rtmr1": B, "rtmr2": C}, "cmdline": "measured too"}
PLATFORMS: dict[str, Any] = {"small": {"mrtd": D, "rtmr0": E}, "large": {"mrtd": D, "rtmr0": A}}


def policy(*cpu: Technology) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, cpu=cpu)


def file(**changes: object) -> VerifiedStatement:
    return verified(values.REFERENCE_VALUES, {**FILE, **changes}, NOW - 10)


def build(**changes: object) -> VerifiedStatement:
    return verified(values.TINFOIL_BUILD, {**TINFOIL, **changes}, NOW - 10)


def platforms(predicate: dict[str, Any] = PLATFORMS) -> VerifiedStatement:
    return verified(values.TINFOIL_PLATFORMS, predicate, NOW - 10)


def test_a_file_gives_values_for_each_technology() -> None:
    found = values.measured(file(), NOW)
    source = "example/enclave/.github/workflows/release.yml@refs/tags/v1.2.0, signed 2026-09-21T14:13:10Z"
    assert found.tdx == (TdxReferenceValues(name="app 1.2", source=source, mrtd=A, rtmr1=B, compose_hashes=("c" * 64,)),)
    assert (found.snp[0].measurement, found.snp[0].min_guest_svn, found.snp[0].source) == (C, 2, source)
    assert (found.nitro[0].pcr0, found.ends) == (D, NOW + 10)


def test_a_file_under_a_key_names_the_key_as_its_source() -> None:
    statement = verified(values.REFERENCE_VALUES, FILE, NOW - 10, by=SigningKey(public_key="ab" * 32))
    assert values.measured(statement, NOW).nitro[0].source == f"key {'ab' * 32}, signed 2026-09-21T14:13:10Z"


def test_a_build_under_a_key_is_named_by_the_key() -> None:
    found = values.measured(verified(values.TINFOIL_BUILD, TINFOIL, NOW, by=SigningKey(public_key="ab" * 32)), NOW)
    assert found.snp[0].name == f"key {'ab' * 32}"


def test_a_file_ends() -> None:
    assert values.measured(file(), NOW + 9).ends == NOW + 10
    refused = refusal(values.measured, file(), NOW + 10)
    assert (refused.check, refused.got) == ("provenance.time", "reference values that ended 2026-09-21T14:13:30Z")


@pytest.mark.parametrize(
    "changes",
    [
        {"issued_at": "now"},
        {"issued_at": 0},
        {"issued_at": NOW + 10},
        {"expires_at": None},
        {"expires_at": 10**12},
        {"tdx": {}},
        {"tdx": ["x"]},
        {"tdx": [{"name": "x"}]},
        {"tdx": [{"name": "x", "mrtd": A[1:]}]},
        {"tdx": [{"name": "x", "mrtd": A.upper()}]},
        {"tdx": [{"name": "x", "mrtd": A + "\n"}]},
        {"tdx": [{"name": "", "mrtd": A}]},
        {"tdx": [{"name": "x\n", "mrtd": A}]},
        {"tdx": [{"name": "x" * 201, "mrtd": A}]},
        {"tdx": [{"name": "x", "mrtd": A, "rtmr9": A}]},
        {"tdx": [{"name": "x", "mrtd": A, "source": "the attacker's word"}]},
        {"tdx": [{"name": "x", "mrtd": A, "compose_hashes": [A]}]},
        {"tdx": [{"name": "x", "mrtd": A, "os_image_hashes": ["g" * 64]}]},
        {"sev-snp": [{"name": "x", "measurement": "00"}]},
        {"sev_snp": []},
        {"nitro": [{"name": "x", "pcr0": D, "pcr8": "x" * 96}]},
        {"tdx": [], "sev-snp": [], "nitro": []},
        {"nitro": [{"name": "x", "pcr0": D}] * 1025},
        {"extra": 1},
    ],
)
def test_a_file_with_anything_else_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(values.measured, file(**changes), NOW).check == "provenance.reference_values"


@pytest.mark.parametrize(
    ("technology", "least", "name", "length"),
    [
        *(("tdx", {"mrtd": A}, name, 96) for name in ("rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config")),
        *(("sev-snp", {"measurement": A}, name, 96) for name in ("id_key_digest", "author_key_digest")),
        *(("sev-snp", {"measurement": A}, name, length) for name, length in (("host_data", 64), ("family_id", 32), ("image_id", 32))),
        *(("nitro", {"pcr0": A}, name, 96) for name in ("pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr8", "pcr16")),
        ("tdx", {}, "mrtd", 96),
        ("sev-snp", {}, "measurement", 96),
    ],
)
def test_every_value_has_its_length(technology: str, least: dict[str, str], name: str, length: int) -> None:
    def given(value: str) -> VerifiedStatement:
        sets = {"tdx": [], "sev-snp": [], "nitro": [], technology: [{"name": "x", **least, name: value}]}
        return file(**sets)

    values.measured(given("a" * length), NOW)
    for wrong in ("a" * (length - 1), "a" * (length + 1), "g" * length):
        assert refusal(values.measured, given(wrong), NOW).check == "provenance.reference_values"


def test_the_last_end_that_a_calendar_holds() -> None:
    assert values.measured(file(expires_at=253_402_300_799), NOW).ends == 253_402_300_799
    for dates in ({"expires_at": 253_402_300_800}, {"issued_at": 0}):
        assert refusal(values.measured, file(**dates), NOW).check == "provenance.reference_values"
    values.measured(file(issued_at=1), NOW)


def test_a_file_says_when_it_was_issued() -> None:
    assert values.issued_at(values.REFERENCE_VALUES, FILE) == NOW - 10
    assert "another type" in refusal(values.issued_at, "https://slsa.dev/provenance/v1", FILE).got
    assert "another form" in refusal(values.issued_at, values.REFERENCE_VALUES, {}).got


def test_only_known_types_carry_values() -> None:
    assert all(values.carries_values(statement) for statement in (file(), build(), platforms()))
    assert not values.carries_values(verified("https://slsa.dev/provenance/v1", {}, NOW))


def test_software_and_platforms_make_whole_values_together() -> None:
    extended = values.with_values(policy("tdx", "sev-snp"), [values.measured(statement, NOW) for statement in (build(), platforms())])
    small, large = extended.tdx.reference_values
    assert (small.mrtd, small.rtmr0, small.rtmr1, small.rtmr2, small.rtmr3) == (D, E, B, C, "0" * 96)
    assert (small.name, large.name, large.rtmr0) == ("example/enclave v1.2.0 on small", "example/enclave v1.2.0 on large", A)
    assert small.source == extended.snp.reference_values[0].source
    assert extended.snp.reference_values[0].measurement == A


def test_the_source_of_a_platform_by_somebody_else_is_named_too() -> None:
    by = msgspec.structs.replace(BUILD, repository="example/platforms")
    other = verified(values.TINFOIL_PLATFORMS, PLATFORMS, NOW - 20, by=by)
    extended = values.with_values(policy("tdx"), [values.measured(statement, NOW) for statement in (build(), other)])
    assert "; platform: example/platforms/" in extended.tdx.reference_values[0].source


def test_software_needs_a_platform_of_its_shape() -> None:
    measured_for = {
        "same": {"mrtd": A, "rtmr0": A, "shape": {**SHAPE, "disks": 3}},
        "more memory": {"mrtd": A, "rtmr0": B, "shape": {**SHAPE, "memory_mb": 32768}},
        "more gpus": {"mrtd": A, "rtmr0": B, "shape": {**SHAPE, "gpus": 8}},
        "unknown": {"mrtd": A, "rtmr0": C},
    }
    registry = {"format": "x", "machines": {}, "policies": {}, "measurements": measured_for}
    found = [
        values.measured(build(vm_shape={**SHAPE, "gpus": 1}), NOW),
        values.measured(verified(values.TINFOIL_ENDORSEMENTS, registry, NOW), NOW),
    ]
    assert [item.name for item in values.with_values(policy("tdx"), found).tdx.reference_values] == ["example/enclave v1.2.0 on same"]


def test_software_without_a_platform_is_refused_where_only_tdx_could_run_it() -> None:
    found = [values.measured(build(), NOW)]
    assert "without a platform" in refusal(values.with_values, policy("tdx"), found).got
    assert values.with_values(policy("tdx", "sev-snp"), found).tdx.reference_values == ()


def test_values_are_added_to_what_the_operator_wrote_and_only_where_the_policy_looks() -> None:
    mine = TdxReferenceValues(name="mine", source="me", mrtd=E)
    given_policy = msgspec.structs.replace(policy("tdx", "nitro"), tdx=TdxPolicy(reference_values=(mine,)), snp=SnpPolicy(vmpls=(1,)))
    extended = values.with_values(given_policy, [values.measured(file(), NOW)])
    assert [item.name for item in extended.tdx.reference_values] == ["mine", "app 1.2"]
    assert [item.name for item in extended.nitro.reference_values] == ["app 1.2"]
    assert extended.snp == given_policy.snp
    assert values.with_values(given_policy, []) == given_policy
    assert len(values.with_values(policy("sev-snp"), [values.measured(file(), NOW)]).snp.reference_values) == 1


def test_no_statement_can_make_every_comparison_slow() -> None:
    many = {f"p{index}": {"mrtd": A, "rtmr0": B} for index in range(1025)}
    assert "1025 platforms" in refusal(values.measured, platforms(many), NOW).got
    found = [values.measured(build(), NOW)] * 513 + [values.measured(platforms(), NOW)]
    assert "513 builds on 2 platforms" in refusal(values.with_values, policy("tdx"), found).got


@pytest.mark.parametrize(
    "changes",
    [
        {"snp_measurement": None},
        {"snp_measurement": A[2:]},
        {"tdx_measurement": {"rtmr1": B}},
        {"tdx_measurement": {"rtmr1": B, "rtmr2": "z" * 96}},
        {"tdx_measurement": []},
        {"vm_shape": {"cpus": 1}},
    ],
)
def test_a_build_that_is_not_whole_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(values.measured, build(**changes), NOW).check == "provenance.reference_values"


@pytest.mark.parametrize("predicate", [{"x": {}}, {"x": {"mrtd": A, "rtmr0": A[1:]}}, {"x": 1}, {"": {"mrtd": A, "rtmr0": A}}])
def test_a_platform_that_is_not_whole_is_refused(predicate: dict[str, Any]) -> None:
    assert refusal(values.measured, platforms(predicate), NOW).check == "provenance.reference_values"


_ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just(A),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from([*PLATFORMS["small"], "name", "pcr0"]), below, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from([*values._READERS]), st.dictionaries(st.sampled_from([*FILE, *TINFOIL, "measurements"]), _ANY))
def test_only_a_refusal_escapes(kind: str, changes: dict[str, Any]) -> None:
    for base in ({}, FILE, TINFOIL, {"measurements": PLATFORMS}):
        refused = caught(values.measured, verified(kind, {**base, **changes}, NOW), NOW)
        assert refused is None or refused.check in {"provenance.reference_values", "provenance.time"}


def test_times_that_no_calendar_holds_stay_numbers() -> None:
    assert "signed -5" in values.measured(verified(values.TINFOIL_BUILD, TINFOIL, -5), NOW).snp[0].source
