"""The policy that admits exactly this installation's simulated machines: its root's pin, their measurements, what they run.

An operator puts the text into `ollm.toml`. Its level is `simulated`, which satisfies no other.
"""

from collections.abc import Iterable

import msgspec

from ollm.sim.broken import REJECTED_ADVISORY
from ollm.sim.collateral import EVALUATION_NUMBER
from ollm.sim.machine import SimulatedMachine
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy, TdxReferenceValues

DEFAULT_NAME = "simulated"


def reference_values(machine: SimulatedMachine) -> TdxReferenceValues:
    """What `machine` measures, every register of its build, and the hash of its app-compose file."""
    report = machine.td_report
    return TdxReferenceValues(
        name=machine.build,
        source="printed by `ollm sim enclave`: measures software that plays hardware",
        mrtd=report.mrtd.hex(),
        rtmr0=report.rtmr0.hex(),
        rtmr1=report.rtmr1.hex(),
        rtmr2=report.rtmr2.hex(),
        mr_seam=report.mr_seam.hex(),
        compose_hashes=(machine.compose_hash.hex(),),
    )


def policy(machines: Iterable[SimulatedMachine], *, name: str = DEFAULT_NAME) -> AttestationPolicy:
    """The policy for `machines` of one installation. Raises: ValueError for none, or for several roots."""
    machines = tuple(machines)
    roots = {machine.pki.root_sha256 for machine in machines}
    if len(roots) != 1:
        raise ValueError("a policy for simulated machines pins exactly one root")
    return AttestationPolicy(
        name=name,
        level=Level.SIMULATED,
        tdx=TdxPolicy(
            simulated_root_sha256=roots.pop(),
            min_tcb_evaluation_data_number=EVALUATION_NUMBER,
            rejected_advisories=(REJECTED_ADVISORY,),
            allow_cached_keys=False,  # of what a policy can demand of a platform, simulated machines do without this
            reference_values=tuple(dict.fromkeys(reference_values(machine) for machine in machines)),
        ),
    )


def policy_toml(accepted: AttestationPolicy) -> str:
    """`accepted` as a fragment of `ollm.toml`."""
    section = f"policies.{_toml(accepted.name)}"
    tables = [
        f"[{section}]",
        *_members({"level": accepted.level.value}),
        "",
        f"[{section}.tdx]",
        *_members(_given(msgspec.structs.replace(accepted.tdx, reference_values=()))),
    ]
    for values in accepted.tdx.reference_values:
        tables += ["", f"[[{section}.tdx.reference_values]]", *_members(_given(values))]
    return "\n".join(tables) + "\n"


def _given(value: TdxPolicy | TdxReferenceValues) -> dict[str, object]:
    """Members of `value` that differ from their default: a fragment says only what it decides."""
    defaults = dict(zip(reversed(value.__struct_fields__), reversed(value.__struct_defaults__), strict=False))
    members: dict[str, object] = msgspec.structs.asdict(value)
    return {name: member for name, member in members.items() if name not in defaults or member != defaults[name]}


def _members(members: dict[str, object]) -> list[str]:
    return [f"{name} = {_toml(member)}" for name, member in members.items()]


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's too.
    return msgspec.json.encode(value).decode()
