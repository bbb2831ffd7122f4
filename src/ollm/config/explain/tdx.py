"""Sentences about Intel TDX."""

from collections.abc import Iterable

from ollm.config.explain.points import (
    Context,
    Said,
    Table,
    exposes,
    flag,
    given,
    holds,
    note,
    nothing,
    only,
    register,
    sets,
    shown,
    weakens,
)
from ollm.values.policy import Grace

_STATUSES = {
    "SWHardeningNeeded": "flaws of the processor that only the guest's own software can work around",
    "ConfigurationNeeded": "a setting of the machine that Intel advises against",
    "ConfigurationAndSWHardeningNeeded": "a setting that Intel advises against, and flaws that only the guest can work around",
    "TDRelaunchAdvised": "a guest that was started before its platform was updated",
    "TDRelaunchAdvisedConfigurationNeeded": "a guest started before its platform was updated, and a setting that Intel advises against",
}


def _status(status: str) -> Said:
    if status in _STATUSES:
        return weakens(f"TCB status {status} is accepted, without an end: {_STATUSES[status]}")
    return exposes(f"TCB status {status} is accepted, without an end: the platform runs firmware or microcode with published flaws")


def _accepted(statuses: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not statuses and not context.policy.tdx.grace:
        yield nothing("it accepts no TCB status")
        return
    yield holds(f"Intel's judgement of the platform's TCB is {' or '.join(statuses) or 'one that has grace'}")
    for status in statuses:
        if status != "UpToDate":
            yield _status(status)


def _grace(graces: tuple[Grace, ...], context: Context) -> Iterable[Said]:
    if not graces:
        yield holds("no other TCB status has a grace period: a platform that falls behind is refused the moment that Intel says so")
    for grace in graces:
        if context.today >= grace.until:
            yield holds(f"the grace for TCB status {grace.status} ended on {grace.until} and has no effect any more ({grace.reason})")
        else:
            yield exposes(f"TCB status {grace.status} is accepted until {grace.until}, in spite of the flaws that Intel lists ({grace.reason})")


def _compose_hashes(hashes: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not context.policy.require_compose:
        listed = "lists compose hashes, and they are not looked at" if hashes else "lists no compose hashes"
        yield note(f"it {listed}, because require_compose is off")
    elif hashes:
        yield holds(f"the application is one of {len(hashes)} app-compose files, by SHA-256: {shown(tuple(f'{each[:16]}…' for each in hashes))}")
    else:
        yield nothing("it lists no compose hash, and require_compose is on: this set accepts no application")


def _rtmr3(value: str | None, context: Context) -> Iterable[Said]:
    measures = "the application and what the guest added at run time (dstack: app, instance, keys)"
    covered = context.policy.require_compose
    absent = note if covered else exposes
    tail = "; the replayed log and the compose hash speak for the application instead" if covered else ": any application will do"
    yield from register("RTMR3", measures, absent=lambda text: absent(text + tail))(value, context)


def _mr_config_id(value: str | None, context: Context) -> Iterable[Said]:
    absent = note if context.policy.require_compose else weakens
    measures = "a configuration that the host states at launch (dstack: the compose hash)"
    yield from register("MRCONFIGID", measures, absent=absent)(value, context)


REFERENCE_VALUES: Table = {
    "name": lambda value, context: (),  # stands before each sentence
    "source": lambda value, context: (holds(f'its values come from: "{value}"'),),
    "mrtd": register("MRTD", "the virtual firmware", absent=exposes),
    "rtmr0": register(
        "RTMR0", "what the host hands to the firmware: ACPI tables (which can run code in the guest), devices, boot variables", absent=exposes
    ),
    "rtmr1": register("RTMR1", "the kernel, or the boot loader that chose it", absent=exposes),
    "rtmr2": register("RTMR2", "the kernel's command line and initrd", absent=exposes),
    "rtmr3": _rtmr3,
    "mr_seam": register("MRSEAM", "Intel's TDX module, whose version Intel's signed TCB information judges too", absent=note),
    "mr_config_id": _mr_config_id,
    "mr_owner": register("MROWNER", "an owner that the host states at launch; few systems use it", absent=note),
    "mr_owner_config": register("MROWNERCONFIG", "an owner's configuration that the host states at launch; few systems use it", absent=note),
    "compose_hashes": _compose_hashes,
    "os_image_hashes": given(
        absent=note("the dstack OS image's own hash is not compared; RTMR0 to RTMR2, where they are pinned, say more"),
        present=holds("the guest names its dstack OS image as one of: {}"),
        empty=nothing("its list of OS images is empty: this set accepts none"),
    ),
}

TDX: Table = {
    "simulated_root_sha256": given(
        absent=holds("an Intel TDX quote, verified to Intel's root, which is compiled in"),
        present=holds("a TDX quote under the simulated root {}, and none of Intel's"),
    ),
    "accepted_tcb_status": _accepted,
    "grace": _grace,
    "min_tcb_evaluation_data_number": given(
        absent=weakens(
            "any TCB information that is still in date will do: whoever can hold back Intel's newest can hide a flaw for weeks"
            " (set min_tcb_evaluation_data_number after each TCB recovery)"
        ),
        present=holds("Intel's TCB information has at least evaluation number {}"),
    ),
    "rejected_advisories": given(
        absent=note("no advisory is denied by name: Intel's TCB status alone decides which flaws are tolerated"),
        present=holds("no platform to which one of these advisories applies: {}"),
    ),
    "allow_smt": flag(
        true=weakens("hyper-threading may be on: a sibling thread that the host schedules shares caches with the guest"),
        false=holds("hyper-threading is off, says the platform's certificate"),
    ),
    "allow_dynamic_platform": flag(
        true=note("platforms to which processor packages can be added later are accepted; nearly all cloud machines are such"),
        false=holds("no processor package can be added to the platform, says its certificate"),
    ),
    "allow_cached_keys": flag(
        true=note("platforms whose keys Intel's registration service keeps are accepted"),
        false=holds("Intel keeps no keys of the platform, says its certificate"),
    ),
    "platforms": only(
        absent="any genuine TDX machine will do, wherever it stands: nothing says who can touch it, and keys can be drawn from a machine in hand"
        " (list PPIDs in platforms)",
        empty="its list of platforms is empty",
        present="the machine is one of {} known ones, by PPID",
        cut=12,
    ),
    "require_firmware_log": flag(
        true=holds("the firmware's own event log (CCEL) is there, and replays to RTMR0, RTMR1 and RTMR2"),
        false=note("the firmware's own event log (CCEL) is not demanded: nothing but the pinned values says what booted (require_firmware_log)"),
    ),
    "reference_values": sets(REFERENCE_VALUES, lambda values: f'TDX build "{values.name}"'),
}
