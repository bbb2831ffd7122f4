"""Sentences about NVIDIA's GPUs and switches."""

from collections.abc import Iterable

from ollm.config.explain.points import Context, Said, Table, flag, given, holds, note, nothing, only, weakens


def _architectures(names: tuple[str, ...], context: Context) -> Iterable[Said]:
    yield holds(f"each GPU is a {' or '.join(names)}") if names else nothing("it lists no architecture of GPUs")


def _accept(ways: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not ways:
        yield nothing("it accepts neither reports of devices nor NVIDIA's word about them")
    if "report" in ways:
        yield holds("each device's own signed report is verified to NVIDIA's root, and its measurements to NVIDIA's signed reference values")
    if "nras" in ways:
        yield weakens("a token of NVIDIA's attestation service stands in for a device's report: that service, its keys and its checks are trusted")


def _min_switches(number: int, context: Context) -> Iterable[Said]:
    several = context.policy.nvidia is not None and context.policy.nvidia.min_gpus > 1
    if number:
        yield holds(f"at least {number} NVLink switches are there, measuring what NVIDIA published")
    else:
        yield (weakens if several else note)("no NVLink switch is demanded: what GPUs send each other may pass through switches that nobody attested")


def _bound(way: str, context: Context) -> Iterable[Said]:
    what = {
        "nonce": "every device signed the nonce that stands in the CPU's report data",
        "hash": "the CPU's report data hold the hash of the devices' evidence",
    }[way]
    yield holds(what)


NVIDIA: Table = {
    "simulated_root_sha256": given(
        absent=holds("evidence of devices is verified to NVIDIA's root, which is compiled in"),
        present=holds("evidence of devices is under the simulated root {}, and none of NVIDIA's"),
    ),
    "simulated_rim_root_sha256": given(
        absent=holds("reference measurements of devices are verified to NVIDIA's root for them, which is compiled in"),
        present=holds("reference measurements of devices are under the simulated root {}, and none of NVIDIA's"),
    ),
    "min_gpus": given(absent=note("no GPU is demanded, only switches"), present=holds("at least {} GPU(s) that measure what NVIDIA published")),
    "min_switches": _min_switches,
    "architectures": _architectures,
    "accept": _accept,
    "require_ocsp": flag(
        true=holds("NVIDIA's word, by OCSP, that no certificate of a device is revoked, is there and in date"),
        false=weakens("OCSP is not demanded: a device whose certificate NVIDIA revoked is accepted where no answer is there"),
    ),
    "min_driver": given(
        absent=weakens("any driver that NVIDIA ever published reference values for will do, with known flaws too (set min_driver)"),
        present=holds("the driver is at least {}"),
    ),
    "rejected_drivers": given(absent=note("no driver version is denied by name"), present=holds("the driver is none of: {}")),
    "rejected_vbios": given(absent=note("no VBIOS version is denied by name"), present=holds("the VBIOS is none of: {}")),
    "devices": only(
        absent="any genuine device will do: evidence of a GPU elsewhere can be relayed to this machine (list serial numbers in devices)",
        empty="its list of devices is empty",
        present="each device is one of {} known ones, by serial number",
    ),
    "bound": _bound,
}
