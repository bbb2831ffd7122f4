"""How texts and numbers of a policy are spelled: a measurement in capitals would never be equal to anything."""

from typing import Any

import msgspec
import pytest

from ollm.config.policy_forms import FORMS, TCB_STATUSES, check_forms
from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from tests.config import samples
from tests.config.samples import OTHER_ROOT, REGISTER, ROOT, changed

GOOD = samples.full()


def problem(*path: str | int, value: Any) -> ConfigError:
    """What is said when what stands at `path` of a good policy is `value`."""
    with pytest.raises(ConfigError) as refusal:
        check_forms("acme.toml", changed(GOOD, path, value))
    return refusal.value


def good(*path: str | int, value: Any) -> None:
    check_forms("acme.toml", changed(GOOD, path, value))


@pytest.mark.parametrize("kind", list(samples.structs()), ids=lambda kind: kind.__name__)
def test_every_text_and_number_has_a_form(kind: type[msgspec.Struct]) -> None:
    fields = {field.name for field in msgspec.structs.fields(kind) if samples.is_plain(field) and field.type is not bool}
    fields -= {"min_tcb", "until"}  # holds structs; a date
    assert fields == set(FORMS.get(kind, {})), "give each a spelling in config/policy_forms.py"


def test_a_good_policy_passes() -> None:
    check_forms("acme.toml", msgspec.structs.replace(GOOD, provenance=None))
    check_forms("acme.toml", AttestationPolicy(name="p", level=Level.TEE))


MRTD = ("tdx", "reference_values", 0, "mrtd")


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        (REGISTER.upper(), "write it in lowercase"),
        (f"0x{REGISTER}", "leave out what stands before the digits, and spaces"),
        (f"sha384:{REGISTER}", "leave out what stands before the digits, and spaces"),
        (f" {REGISTER}\n", "leave out what stands before the digits, and spaces"),
        (REGISTER[:-1], "correct it"),
        (REGISTER + "00", "correct it"),
        ("…96 hexadecimal characters…", "correct it"),
        ("", "correct it"),
        (REGISTER + "\n", "leave out what stands before the digits, and spaces"),
    ],
)
def test_a_measurement_has_one_spelling(written: str, mend: str) -> None:
    told = problem(*MRTD, value=written)
    assert told.cause.startswith("acme.toml: tdx.reference_values[0].mrtd is ")
    assert told.cause.endswith(f"{len(written)} characters")
    assert told.mend == f"it must be 96 lowercase hexadecimal characters: a measurement (SHA-384); {mend}"


def test_long_text_is_cut_in_the_message() -> None:
    assert len(problem(*MRTD, value="z" * 5000).cause) < 150


@pytest.mark.parametrize("status", TCB_STATUSES)
def test_statuses_that_intel_gives(status: str) -> None:
    good("tdx", "accepted_tcb_status", value=(status,))
    good("tdx", "grace", 0, "status", value=status)


@pytest.mark.parametrize("status", ["Revoked", "outofdate", "OUT_OF_DATE", "OK", ""])
def test_statuses_that_it_does_not_give_or_that_no_policy_may_accept(status: str) -> None:
    told = problem("tdx", "accepted_tcb_status", value=("UpToDate", status))
    assert told.cause.startswith("acme.toml: tdx.accepted_tcb_status[1] is ")
    assert "Revoked can't be accepted" in told.mend or told.mend.endswith("write it in lowercase")


WRONG: list[tuple[tuple[str | int, ...], Any]] = [
    (("tdx", "rejected_advisories"), ("SA-00837",)),
    (("tdx", "rejected_advisories"), ("INTEL-SA-837",)),
    (("tdx", "platforms"), ("0f" * 15,)),
    (("tdx", "simulated_root_sha256"), "ab"),
    (("tdx", "min_tcb_evaluation_data_number"), -1),
    (("tdx", "reference_values", 0, "compose_hashes"), (ROOT, "cd" * 31)),
    (("tdx", "reference_values", 0, "os_image_hashes"), ("ef" * 33,)),
    (("tdx", "reference_values", 0, "name"), " "),
    (("tdx", "reference_values", 0, "source"), ""),
    (("tdx", "grace", 0, "reason"), ""),
    (("snp", "products"), ("Rome",)),
    (("snp", "products"), ("genoa",)),
    (("snp", "chips"), ("0f" * 32,)),
    (("snp", "vmpls"), (4,)),
    (("snp", "vlek_csp_ids"), ("",)),
    (("snp", "reference_values", 0, "host_data"), "ab" * 48),
    (("snp", "reference_values", 0, "id_key_digest"), ROOT),
    (("snp", "reference_values", 0, "family_id"), ROOT),
    (("snp", "reference_values", 0, "min_guest_svn"), 2**32),
    (("snp", "min_tcb", "Turin", "snp"), 256),
    (("nitro", "max_age_seconds"), 0),
    (("nitro", "max_age_seconds"), 4 * 3600),
    (("nitro", "modules"), ("i-0123456789abcdef0-enc0123",)),
    (("nitro", "reference_values", 0, "pcr8"), ROOT),
    (("nvidia", "architectures"), ("Ampere",)),
    (("nvidia", "min_driver"), "550"),
    (("nvidia", "rejected_drivers"), ("v550.90.07",)),
    (("nvidia", "rejected_vbios"), ("96.00.9F.00",)),
    (("nvidia", "devices"), ("0x1f",)),
    (("nvidia", "min_gpus"), -1),
    (("provenance", "signers"), (ROOT[:-2],)),
    (("provenance", "max_witness_seconds"), 0),
    (("provenance", "builds", 0, "repository"), "model"),
    (("provenance", "builds", 0, "repository"), "https://github.com/acme/model"),
    (("provenance", "builds", 0, "workflow"), "release.yml"),
    (("provenance", "builds", 0, "workflow"), ".github/workflows/../../x.yml"),
    (("provenance", "builds", 0, "ref"), "v1.4"),
    (("provenance", "builds", 0, "ref"), "refs/*/v1"),
    (("provenance", "builds", 0, "ref"), "refs/tags/v*.1"),
    (("provenance", "builds", 0, "issuer"), "http://token.actions.githubusercontent.com"),
    (("provenance", "builds", 0, "repository_id"), "acme"),
    (("provenance", "builds", 0, "signer"), "acme/sign"),
    (("provenance", "builds", 0, "triggers"), ("Push!",)),
    (("provenance", "witness", "ref"), "main"),
    (("max_keyset_seconds",), 0),
    (("reviewed",), "x" * 1001),
]
FINE: list[tuple[tuple[str | int, ...], Any]] = [
    (("tdx", "rejected_advisories"), ("INTEL-SA-00837", "SIMULATED-SA-00002")),
    (("snp", "chips"), ("0f" * 64,)),
    (("snp", "vlek_csp_ids"), ("CN=cc-us-east-2.amazonaws.com",)),
    (("nvidia", "min_driver"), "550.90.07"),
    (("nvidia", "rejected_vbios"), ("96.00.9F.00.01",)),
    (("nvidia", "devices"), ("1f",)),
    (("nitro", "modules"), ("i-0123456789abcdef0",)),
    (("provenance", "builds", 0, "ref"), "refs/heads/release/*"),
    (("provenance", "builds", 0, "ref"), "refs/tags/v*"),
    (("provenance", "builds", 0, "signer"), "acme/sign/.github/workflows/s.yml@refs/tags/v1"),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda value: str(value)[:40])
def test_a_misspelled_value_names_its_field(path: tuple[str | int, ...], value: Any) -> None:
    told = problem(*path, value=value)
    fields = [str(part) for part in path if isinstance(part, str)]
    assert all(field in told.cause for field in fields), told.cause
    assert told.mend.startswith("it must be ")


@pytest.mark.parametrize(("path", "value"), FINE, ids=lambda value: str(value)[:40])
def test_a_value_that_is_spelled_right(path: tuple[str | int, ...], value: Any) -> None:
    good(*path, value=value)


def test_a_root_is_64_characters() -> None:
    good("nvidia", "simulated_root_sha256", value=OTHER_ROOT)
    assert "the SHA-256 of a root" in problem("nvidia", "simulated_root_sha256", value=REGISTER).mend
