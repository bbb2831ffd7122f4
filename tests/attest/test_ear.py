"""An appraisal told as an EAT Attestation Result: never more than the checks showed."""

import msgspec
import pytest

from ollm.attest import ear
from ollm.attest.tables import ALL_CHECKS
from ollm.values.checks import Appraisal, Check, Claim, Claims, Outcome
from ollm.values.level import Level

NOW = 1_800_000_000
PASSED = (
    "quote.signature",
    "quote.debug",
    "tcb.status",
    "measurement.reference_values",
    "compose.accepted",
    "binding.statement",
)


def appraisal(*checks: Check, level: Level = Level.TEE, **members: object) -> Appraisal:
    return msgspec.structs.replace(Appraisal("near", level, checks or passed(), valid_until=NOW + 60), **members)


def passed(*names: str, target: str = "") -> tuple[Check, ...]:
    return tuple(Check(name, Outcome.PASSED, target=target) for name in names or PASSED)


def refused(name: str, *, before: tuple[str, ...] = (), target: str = "") -> tuple[Check, ...]:
    return (
        (*passed(*before, target=target), Check(name, Outcome.FAILED, "x", "y", target))
        if before
        else (Check(name, Outcome.FAILED, "x", "y", target),)
    )


def result(found: Appraisal, part: str = "cpu") -> tuple[str, dict[str, int]]:
    submodule = ear.result(found, now=NOW, build="ollm 0")["submods"][part]
    return submodule["ear_status"], submodule.get("ear_trustworthiness_vector", {})


def test_an_accepted_machine_is_affirmed_in_what_was_looked_at() -> None:
    document = ear.result(appraisal(), now=NOW, build="ollm 0.1.0", nonce="a5")

    assert (document["eat_profile"], document["iat"], document["exp"], document["eat_nonce"]) == (ear.PROFILE, NOW, NOW + 60, "a5")
    assert document["ear_verifier_id"]["build"] == "ollm 0.1.0"
    submodule = document["submods"]["cpu"]
    assert submodule["ear_status"] == "affirming"
    assert submodule["ear_trustworthiness_vector"] == {"hardware": 2, "runtime-opaque": 2, "executables": 2}
    assert submodule["ear_appraisal_policy_ids"] == ["near"]
    assert submodule["ear_verifier_claims"]["ollm_checks"][0] == {"name": "quote.signature", "outcome": "passed", "got": "", "want": ""}
    msgspec.json.encode(document)


def test_boot_alone_is_affirmed_as_boot() -> None:
    assert result(appraisal(*passed("quote.signature", "measurement.reference_values")))[1]["executables"] == 3


@pytest.mark.parametrize(
    ("check", "status", "claim", "value"),
    [
        ("quote.debug", "contraindicated", "runtime-opaque", 96),
        ("tcb.status", "contraindicated", "hardware", 96),
        ("quote.signature", "contraindicated", "hardware", 99),
        ("chain.revocation", "contraindicated", "instance-identity", 96),
        ("platform.listed", "contraindicated", "instance-identity", 97),
        ("measurement.reference_values", "warning", "executables", 33),
        ("quote.format", "none", "hardware", 1),
    ],
)
def test_a_refusal_has_its_value(check: str, status: str, claim: str, value: int) -> None:
    found = result(appraisal(*refused(check)))

    assert found[0] == status
    assert found[1][claim] == value


@pytest.mark.parametrize(
    ("checks", "claim", "value"),
    [
        ("quote.format snp.format nitro.format device.format nras.format", "hardware", 1),
        ("collateral.validity snp.validity nitro.validity device.validity nras.validity", "hardware", 1),
        ("policy.level platform.marker quote.header snp.product device.architecture nras.architecture nras.accepted", "hardware", 97),
        ("quote.signature snp.signature nitro.signature device.signature nras.signature", "hardware", 99),
        ("chain.pck snp.chain nitro.chain device.chain nras.key_chain", "hardware", 99),
        ("tcb.level snp.tcb device.driver nras.driver", "hardware", 96),
        ("quote.debug snp.debug nitro.debug device.mode nras.debug", "runtime-opaque", 96),
        ("platform.listed snp.chip_listed nitro.instance device.listed nras.listed", "instance-identity", 97),
        ("chain.revocation snp.revocation ocsp.status", "instance-identity", 96),
        ("binding.nonce nitro.age device.nonce nras.nonce", "instance-identity", 97),
    ],
)
def test_one_kind_of_refusal_has_one_value_whatever_the_technology(checks: str, claim: str, value: int) -> None:
    for check in checks.split():
        aspect = ear.aspect(check)
        assert (aspect.claim, aspect.refused) == (claim, value), check


def test_no_refusal_is_affirmed_whatever_passed_before() -> None:
    for name in ALL_CHECKS:
        status, _ = result(appraisal(*refused(name, before=PASSED)))
        assert status != "affirming", name


def test_a_refusal_outweighs_what_passed_for_the_same_claim() -> None:
    assert result(appraisal(*refused("tcb.status", before=("quote.signature",))))[1]["hardware"] == 96
    assert result(appraisal(*refused("collateral.validity", before=("quote.signature",))))[1]["hardware"] == 1
    both = (*refused("tcb.status"), *passed("quote.signature"))
    assert result(appraisal(*both))[1]["hardware"] == 96


def test_software_that_plays_hardware_is_never_affirmed() -> None:
    assert result(appraisal(level=Level.SIMULATED)) == ("contraindicated", {"hardware": 97, "runtime-opaque": 96, "executables": 2})
    assert result(appraisal(*refused("quote.signature"), level=Level.SIMULATED))[1]["hardware"] == 99


@pytest.mark.parametrize(
    "members",
    [{"warnings": ("OutOfDate is accepted until 2027-02-01",)}, {"claims": Claims(tcb_up_to_date=Claim("refuted", "hardware_proven", "x"))}],
)
def test_accepted_with_known_flaws_is_a_warning(members: dict[str, object]) -> None:
    found = result(msgspec.structs.replace(appraisal(), **members))

    assert (found[0], found[1]["hardware"]) == ("warning", 32)


def test_what_affirms_nothing_is_no_affirmation() -> None:
    assert result(appraisal(*passed("binding.statement"))) == ("none", {})


def test_each_device_has_its_own_result() -> None:
    checks = (*passed(), *passed("device.signature", target="device0"), *refused("device.mode", target="device1"))
    found = appraisal(*checks)

    assert result(found, "device0") == ("affirming", {"hardware": 2})
    assert result(found, "device1") == ("contraindicated", {"runtime-opaque": 96})
    assert "exp" not in ear.result(found, now=NOW, build="ollm 0")


def test_what_was_not_reached_has_no_value() -> None:
    found = appraisal(*refused("tcb.status"), Check("device.signature", Outcome.NOT_REACHED, target="device0"))

    assert result(found, "device0") == ("none", {})


def test_every_check_speaks_to_a_claim_and_no_entry_is_idle() -> None:
    names = ALL_CHECKS
    used = {name if name in ear.ASPECTS else name.partition(".")[0] + "." for name in names}

    assert used <= set(ear.ASPECTS)
    assert set(ear.ASPECTS) - used == set()
    with pytest.raises(KeyError):
        ear.aspect("nobody.knows")
