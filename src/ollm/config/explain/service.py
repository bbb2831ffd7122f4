"""Sentences about what is demanded of a provider's service beside its machines."""

from collections.abc import Iterable

import msgspec

from ollm.config.explain.points import Context, Said, Sentence, Table, exposes, flag, given, holds, note, nothing, shown, told, weakens
from ollm.config.explain.tdx import TDX
from ollm.values.policy import TdxPolicy

_HOLDERS = {
    "instance": "the verified machine alone",
    "app_kms": "every machine to which a key service gives an application's keys",
    "unknown": "nobody knows whom",
}


def _freshness(whose: str, context: Context) -> Iterable[Said]:
    if whose == "client":
        yield holds("a service's evidence is over a nonce of ours")
    else:
        yield weakens("a service's evidence may be over a nonce of its own: an old one can be shown again, and nothing bounds its age")


def _custody(holders: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not holders:
        yield nothing("it accepts no holder of a service's keys (service.custody)")
        return
    yield holds(f"keys of a service that prompts are sealed to are held by {', or '.join(_HOLDERS[each] for each in holders)}")
    if "unknown" in holders:
        yield exposes("keys may be sealed to of which nobody knows who holds them (service.custody)")
    if "app_kms" in holders:
        yield note("a key may belong to an application: whoever runs its key service, and older machines of it, can hold it too")


def _manager_files(files: tuple[str, ...] | None, context: Context) -> Iterable[Said]:
    if files is None:
        yield note("what a machine starts after it booted is recorded where the provider states it, and not compared (service.manager_files)")
    elif not files:
        yield nothing("its list of files that may run after the boot is empty")
    else:
        yield holds(f"what was started after the boot is by files among these, says the machine: {shown(tuple(f'{each[:16]}…' for each in files))}")


def _gateway(policy: TdxPolicy | None, context: Context) -> Iterable[Said]:
    if policy is None:
        yield holds("a machine behind the provider's own gateway is refused")
        return
    yield note("a gateway of the provider's may stand before the machine: it sees what is not sealed, and who asks when")
    behind = msgspec.structs.replace(context, policy=msgspec.structs.replace(context.policy, tdx=policy))
    for said in told(TDX, policy, behind):
        yield msgspec.structs.replace(said, text=f"of the provider's gateway: {said.text}")


def _end(where: str | None, context: Context) -> Iterable[Said]:
    if where == "router":
        yield note("encryption ends in a router of the provider's: it reads prompts, and passes them on to machines that only it verifies")
    elif where == "enclave":
        yield note("that the verified machine runs the model itself is the operator's word (service.terminates_at)")
    else:
        yield note("whether the verified machine runs the model or passes prompts on is not said (service.terminates_at)")


def _manifest(pinned: str | None, context: Context) -> Iterable[Said]:
    if pinned is None:
        yield holds("a service behind a Contrast coordinator (Privatemode) is refused: no manifest is pinned")
    else:
        yield holds(f"a Contrast coordinator has known one manifest alone, of SHA-256 {pinned[:16]}…")
        yield note("that other machines of its mesh, and their GPUs, are what the manifest says is the coordinator's word")


def _secret_service(name: str | None, context: Context) -> Iterable[Said]:
    if name is None:
        yield holds("a service that agrees with us on a secret (Privatemode) is refused: none is named")
    else:
        yield holds(f"the secret that prompts are sealed under is agreed on with the workload {name}, by the mesh's own certificates")


def _listed(what: str) -> Sentence:
    return given(
        absent=note(f"any {what} will do"),
        present=holds(f"the {what} is one of: {{}}"),
        empty=nothing(f"its list for the {what} is empty"),
    )


SERVICE: Table = {
    "freshness": _freshness,
    "custody": _custody,
    "app_ids": _listed("dstack application"),
    "key_providers": _listed("dstack key service"),
    "require_manager": flag(
        true=holds("the machine states what was started in it after it booted"),
        false=note("a machine need not state what was started in it after it booted (service.require_manager)"),
    ),
    "manager_files": _manager_files,
    "require_signature": flag(
        true=holds("an answer that the machine did not sign is a failure"),
        false=note("an answer that the machine did not sign is passed on, and its receipt says so (service.require_signature)"),
    ),
    "gateway_tdx": _gateway,
    "gateway_app_ids": _listed("dstack application of the provider's gateway"),
    "manifest_sha256": _manifest,
    "secret_service": _secret_service,
    "sealed_to_application": flag(
        true=weakens("keys of an application may be sealed to over a connection that nothing attests: no one machine is bound to a prompt"),
        false=holds("where keys belong to an application, the connection ends at a key that was attested"),
    ),
    "terminates_at": _end,
}
