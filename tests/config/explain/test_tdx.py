"""What is said of TDX policies: how bad each open point is."""

from typing import Any

import pytest

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, Grace, TdxPolicy, TdxReferenceValues
from tests.config.explain.saying import exposes, holds, notes, nothing, weakens
from tests.config.samples import LATER, OTHER_ROOT, REGISTER, ROOT


def tdx(*, require_compose: bool = True, **fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, tdx=TdxPolicy(**fields), require_compose=require_compose)


def values(**fields: Any) -> TdxReferenceValues:
    return TdxReferenceValues(**{"name": "b", "source": "s", "mrtd": REGISTER, "compose_hashes": (ROOT,), **fields})


def test_intels_root_or_a_simulated_one() -> None:
    assert "verified to Intel's root" in holds(tdx(), "tdx.simulated_root_sha256")
    assert f"under the simulated root {ROOT}, and none of Intel's" in holds(tdx(simulated_root_sha256=ROOT), "tdx.simulated_root_sha256")


def test_a_status_that_is_accepted_for_ever_is_worse_than_a_grace() -> None:
    assert not exposes(tdx(), "tdx.accepted_tcb_status")
    assert "OutOfDate is accepted, without an end" in exposes(tdx(accepted_tcb_status=("OutOfDate",)), "tdx.accepted_tcb_status")
    assert "only the guest" in weakens(tdx(accepted_tcb_status=("UpToDate", "SWHardeningNeeded")), "tdx.accepted_tcb_status")
    assert nothing(tdx(accepted_tcb_status=()), "tdx.accepted_tcb_status") == "it accepts no TCB status"
    graceful = tdx(accepted_tcb_status=(), grace=(Grace(status="OutOfDate", until=LATER, reason="r"),))
    assert not nothing(graceful, "tdx.accepted_tcb_status")
    assert "one that has grace" in holds(graceful, "tdx.accepted_tcb_status")


def test_no_grace_is_told_too() -> None:
    assert "no other TCB status has a grace period" in holds(tdx(), "tdx.grace")


def test_machines() -> None:
    assert "any genuine TDX machine will do" in weakens(tdx(), "tdx.platforms")
    assert "its list of platforms is empty" in nothing(tdx(platforms=()), "tdx.platforms")
    assert "one of 1 known ones, by PPID: 0f0f0f0f0f0f…" in holds(tdx(platforms=("0f" * 16,)), "tdx.platforms")


@pytest.mark.parametrize(("register", "told"), [("rtmr0", "ACPI"), ("rtmr1", "kernel"), ("rtmr2", "initrd")])
def test_a_register_of_the_operating_system_that_is_open_exposes(register: str, told: str) -> None:
    field = f"tdx.reference_values.{register}"
    assert told in exposes(tdx(reference_values=(values(),)), field)
    pinned = tdx(reference_values=(values(**{register: REGISTER}),))
    assert not exposes(pinned, field)
    assert f"{register.upper()} is 1a1a1a1a1a1a1a1a…" in holds(pinned, field)


def test_rtmr3_is_spoken_for_by_the_compose_hash() -> None:
    field = "tdx.reference_values.rtmr3"
    assert "the compose hash speak for the application instead" in notes(tdx(reference_values=(values(),)), field)
    assert "any application will do" in exposes(tdx(require_compose=False, reference_values=(values(),)), field)


def test_mrconfigid_matters_more_without_compose() -> None:
    field = "tdx.reference_values.mr_config_id"
    assert notes(tdx(reference_values=(values(),)), field)
    assert weakens(tdx(require_compose=False, reference_values=(values(),)), field)


def test_compose_hashes() -> None:
    field = "tdx.reference_values.compose_hashes"
    assert "one of 2 app-compose files" in holds(tdx(reference_values=(values(compose_hashes=(ROOT, OTHER_ROOT)),)), field)
    assert "accepts no application" in nothing(tdx(reference_values=(values(compose_hashes=()),)), field)
    unasked = tdx(require_compose=False, reference_values=(values(), values(name="c", compose_hashes=())))
    assert "lists compose hashes, and they are not looked at" in notes(unasked, field)
    assert "lists no compose hashes" in notes(unasked, field)


def test_images_that_are_listed_absent_or_none() -> None:
    field = "tdx.reference_values.os_image_hashes"
    assert "not compared" in notes(tdx(reference_values=(values(),)), field)
    assert ROOT in holds(tdx(reference_values=(values(os_image_hashes=(ROOT,)),)), field)
    assert "accepts none" in nothing(tdx(reference_values=(values(os_image_hashes=()),)), field)


def test_without_reference_values_nothing_is_accepted() -> None:
    assert nothing(tdx(), "tdx.reference_values") == "it lists no reference values"
