"""Which genuine enclaves are wanted: production, fresh, on a listed instance, of a known image."""

import pytest

from ollm.attest.nitro import wanted
from ollm.attest.nitro.layout import NitroDocument, parse
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nitro import DEBUG_PCRS, INSTANCE, PCRS, create_hypervisor
from ollm.values.policy import NitroPolicy, NitroReferenceValues
from tests.sim.hardware import NOW

HYPERVISOR = create_hypervisor(NOW)
DOCUMENT = parse(HYPERVISOR.document(NOW))


def with_pcrs(pcrs: dict[int, bytes]) -> NitroDocument:
    return parse(HYPERVISOR.document(NOW, pcrs=pcrs))


def refused(check: str, got: str = "") -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check and got in error.got)


def test_an_enclave_in_debug_mode_is_refused() -> None:
    wanted.check_debug(DOCUMENT)
    with refused("nitro.debug", "PCR0"):
        wanted.check_debug(with_pcrs(dict(DEBUG_PCRS)))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_of_the_first_three_pcrs_must_say_something(index: int) -> None:
    for pcrs in ({**PCRS, index: bytes(48)}, {number: pcr for number, pcr in PCRS.items() if number != index}):
        with refused("nitro.debug", f"PCR{index}"):
            wanted.check_debug(with_pcrs(pcrs))


def test_a_document_is_fresh_to_the_second_and_not_from_the_future() -> None:
    policy = NitroPolicy(max_age_seconds=60)
    for now in (NOW - 5, NOW, NOW + 60):
        wanted.check_age(DOCUMENT, policy, now)
    with refused("nitro.age", "61 seconds old"):
        wanted.check_age(DOCUMENT, policy, NOW + 61)
    with refused("nitro.age", "made at"):
        wanted.check_age(DOCUMENT, policy, NOW - 6)


def test_instances_are_listed_or_any() -> None:
    for policy in (NitroPolicy(), NitroPolicy(modules=(INSTANCE,))):
        wanted.check_instance(DOCUMENT, policy)
    for modules in ((), ("i-0",), (f"{INSTANCE}0",)):
        with refused("nitro.instance", INSTANCE):
            wanted.check_instance(DOCUMENT, NitroPolicy(modules=modules))


def values(name: str = "image", **pcrs: str) -> NitroReferenceValues:
    return NitroReferenceValues(name=name, source="tests", **{"pcr0": PCRS[0].hex(), **pcrs})


def test_all_stated_pcrs_must_be_equal() -> None:
    stated = {f"pcr{index}": PCRS[index].hex() for index in (1, 2, 3, 4, 8)}
    exact = values("exact", **stated)
    assert wanted.matching_reference_values(DOCUMENT, (values("other", pcr8="00" * 48), exact, values())) == (exact, values())


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 8, 16])
def test_a_pcr_that_differs_or_is_absent_is_named(index: int) -> None:
    with refused("nitro.reference_values", f"PCR{index} other than in image"):
        wanted.matching_reference_values(DOCUMENT, (values(**{f"pcr{index}": "ab" * 48}),))


def test_the_nearest_image_is_named() -> None:
    far, near = values("far", pcr0="ab" * 48, pcr1="ab" * 48), values("near", pcr2="ab" * 48)
    with refused("nitro.reference_values", "PCR2 other than in near"):
        wanted.matching_reference_values(DOCUMENT, (far, near))
    with refused("nitro.reference_values", "no reference values"):
        wanted.matching_reference_values(DOCUMENT, ())
