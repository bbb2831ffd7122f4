"""Policies with everything in them, and each field of them changed, found by walking the structs: a new field is in at once."""

import datetime
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from ollm.values.level import Level
from ollm.values.policy import (
    AttestationPolicy,
    Grace,
    NitroPolicy,
    NitroReferenceValues,
    NvidiaPolicy,
    ServicePolicy,
    SnpGrace,
    SnpPolicy,
    SnpReferenceValues,
    SnpTcb,
    TdxPolicy,
    TdxReferenceValues,
)
from ollm.values.provenance import BuildIdentity, ProvenancePolicy

Path = tuple[str | int, ...]

ROOT, OTHER_ROOT = "ab" * 32, "cd" * 32
REGISTER, OTHER_REGISTER = "1a" * 48, "2b" * 48
TODAY = datetime.date(2026, 11, 23)
LATER = datetime.date(2027, 1, 1)

# Two values for fields whose type says too little.
CHOSEN: dict[str, tuple[Any, Any]] = {
    "cpu": (("tdx", "sev-snp", "nitro"), ("tdx", "sev-snp")),
    "until": (LATER, datetime.date(2027, 2, 2)),
    "products": (("Turin", "Milan"), ("Turin", "Genoa")),
    "warned_products": (("Milan",), ()),
    "product": ("Turin", "Milan"),
    "min_tcb": ({"Turin": SnpTcb(snp=8)}, {"Turin": SnpTcb(snp=9)}),
    "accept": (("report",), ("nras",)),
    "bound": ("hash", "nonce"),
    "freshness": ("server", "client"),
    "custody": (("instance",), ("app_kms", "unknown")),
    "terminates_at": ("router", "enclave"),
    "level": (Level.TEE, Level.SIMULATED),
}


def build() -> BuildIdentity:
    return BuildIdentity(
        repository="acme/model", workflow=".github/workflows/release.yml", signer="acme/sign/.github/workflows/s.yml@refs/tags/v1", repository_id="42"
    )


def full() -> AttestationPolicy:
    """A policy that uses every technology and leaves no field at its default where it can help it."""
    return AttestationPolicy(
        name="full",
        level=Level.TEE,
        reviewed="by the tests",
        cpu=("tdx", "sev-snp", "nitro"),
        tdx=TdxPolicy(
            grace=(Grace(status="OutOfDate", until=LATER, reason="an update is under way"),),
            reference_values=(TdxReferenceValues(name="t", source="built by us", mrtd=REGISTER, compose_hashes=(ROOT,)),),
        ),
        snp=SnpPolicy(
            products=("Milan", "Turin"),
            min_tcb={"Turin": SnpTcb(snp=8)},
            grace=(SnpGrace(product="Turin", min_tcb=SnpTcb(snp=7), until=LATER, reason="an update is under way"),),
            reference_values=(SnpReferenceValues(name="s", source="built by us", measurement=REGISTER),),
        ),
        nitro=NitroPolicy(reference_values=(NitroReferenceValues(name="n", source="built by us", pcr0=REGISTER),)),
        nvidia=NvidiaPolicy(),
        provenance=ProvenancePolicy(builds=(build(),), witness=build()),
        service=ServicePolicy(
            gateway_tdx=TdxPolicy(
                grace=(Grace(status="OutOfDate", until=LATER, reason="an update is under way"),),
                reference_values=(TdxReferenceValues(name="g", source="built by us", mrtd=OTHER_REGISTER, compose_hashes=(OTHER_ROOT,)),),
            )
        ),
    )


def structs(kind: type[msgspec.Struct] = AttestationPolicy) -> Iterator[type[msgspec.Struct]]:
    """Every struct that a policy is made of, each once."""
    found: list[type[msgspec.Struct]] = []

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) and annotation not in found:
            found.append(annotation)
            for field in msgspec.structs.fields(annotation):
                walk(field.type)
        for argument in typing.get_args(annotation):
            walk(argument)

    walk(kind)
    yield from found


def is_plain(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a field holds no struct, other than such as CHOSEN has samples of."""
    return field.name in CHOSEN or not _holds_struct(field.type)


def _holds_struct(annotation: Any) -> bool:
    return (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)) or any(map(_holds_struct, typing.get_args(annotation)))


def two_values(field: msgspec.structs.FieldInfo) -> tuple[Any, Any]:
    """Two different values that `field` can have, its default not among them if it has few."""
    return CHOSEN.get(field.name) or _of(field.type)


def _of(annotation: Any) -> tuple[Any, Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _of(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return _of(next(argument for argument in arguments if argument is not types.NoneType))
    if origin is tuple:
        one, other = _of(arguments[0])
        return (one,), (one, other)
    if annotation is bool:
        return True, False
    if annotation is int:
        return 7, 9
    if annotation is str:
        return REGISTER, OTHER_REGISTER
    raise AssertionError(f"give samples of {annotation} in CHOSEN")


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, type[msgspec.Struct], msgspec.structs.FieldInfo]]:
    """Where each plain field of `value` stands, through structs, lists and tables."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            member = getattr(value, field.name)
            below = list(leaves(member, (*path, field.name)))
            yield from below
            if not below:
                yield (*path, field.name), type(value), field
    elif isinstance(value, tuple):
        for index, member in enumerate(value):
            yield from leaves(member, (*path, index))
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, (*path, key))


def changed(value: Any, path: Path, new: Any) -> Any:
    """`value` with what stands at `path` replaced."""
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{str(head): changed(getattr(value, str(head)), rest, new)})
    if isinstance(value, dict):
        return {**value, head: changed(value[head], rest, new)}
    return tuple(changed(member, rest, new) if index == head else member for index, member in enumerate(value))
