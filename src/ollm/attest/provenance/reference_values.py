"""Measured values that a statement vouches for, and the policy with those of admitted signers added.

A predicate type is a format; each has one reader in `_READERS`, and a statement of any other type adds nothing. Values of a build of
TDX software say nothing about the virtual machine's firmware and shape (MRTD, RTMR0): they become whole only together with a platform
that an admitted statement measured, and only one of the same shape. Machine lists and firmware floors that a statement may hold too
are not taken over: those are the operator's to set (`platforms`, `chips`, `min_tcb`).

Sources: `docs/spec/reference-values.md`; tinfoilsh/platform-endorsements, README.md, and tinfoilsh/verifier, attestation/attestation.go.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ollm.attest.facts import AnyReferenceValues
from ollm.errors import EvidenceRefused
from ollm.values.policy import AttestationPolicy, NitroReferenceValues, SnpReferenceValues, TdxReferenceValues
from ollm.values.provenance import CertifiedBuild, VerifiedStatement
from ollm.values.structs import resolved

REFERENCE_VALUES = "urn:ollm:reference-values:v1"  # docs/spec/reference-values.md
TINFOIL_BUILD = "https://tinfoil.sh/predicate/snp-tdx-multiplatform/v1"
TINFOIL_PLATFORMS = "https://tinfoil.sh/predicate/hardware-measurements/v1"
TINFOIL_ENDORSEMENTS = "https://tinfoil.sh/predicate/platform-endorsements/v1"
MAX_VALUES = 1024  # of one statement, and of all together: each is compared with every quote

_CHECK = "provenance.reference_values"
_YEAR_10000 = 253_402_300_800
_NO_RUNTIME = "0" * 96  # Tinfoil's software extends nothing into RTMR3
_NAME = re.compile(r"[\x20-\x7e]{1,200}")
_LENGTHS = {  # of hex
    **dict.fromkeys(("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config"), 96),
    **dict.fromkeys(("measurement", "id_key_digest", "author_key_digest"), 96),
    **dict.fromkeys(("pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr8", "pcr16"), 96),
    **dict.fromkeys(("host_data", "compose_hashes", "os_image_hashes"), 64),
    **dict.fromkeys(("family_id", "image_id"), 32),
}
_HEX = re.compile(r"[0-9a-f]*")

_T = TypeVar("_T")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a virtual machine, which its RTMR0 depends on."""

    cpus: int
    memory_mb: int
    gpus: int | None = None
    disks: int | None = None


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Firmware and shape of a virtual machine on TDX, as measured."""

    name: str
    source: str
    mrtd: str
    rtmr0: str
    shape: Shape | None = None


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """What a TDX virtual machine measured after its firmware; `shape` is what the software was configured for."""

    name: str
    source: str
    rtmr1: str
    rtmr2: str
    shape: Shape | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one statement vouches for, until `ends`."""

    tdx: tuple[TdxReferenceValues, ...] = ()
    snp: tuple[SnpReferenceValues, ...] = ()
    nitro: tuple[NitroReferenceValues, ...] = ()
    platforms: tuple[Platform, ...] = ()
    software: tuple[Software, ...] = ()
    ends: int | None = None  # Unix seconds: the first at which it no longer vouches


def carries_values(statement: VerifiedStatement) -> bool:
    """Whether `statement` is of a type that vouches for measured values."""
    return statement.predicate_type in _READERS


def measured(statement: VerifiedStatement, now: int) -> Measured:
    """The values of `statement`, which hold at `now`. Raises: EvidenceRefused with provenance.reference_values or provenance.time."""
    values = _READERS[statement.predicate_type](statement)
    if values.ends is not None and now >= values.ends:
        raise EvidenceRefused("provenance.time", f"reference values that ended {_utc(values.ends)}", f"valid at {_utc(now)}")
    return values


def issued_at(predicate_type: str, predicate: dict[str, Any]) -> int:
    """When the signer of a reference-value file says that it was made. Raises: EvidenceRefused with provenance.reference_values."""
    if predicate_type != REFERENCE_VALUES:
        raise EvidenceRefused(_CHECK, "a statement of another type under a key", REFERENCE_VALUES)
    return _converted(predicate, _Dates).issued_at


def with_values(policy: AttestationPolicy, found: Sequence[Measured]) -> AttestationPolicy:
    """`policy` with the values of `found` added for the technologies that it names.

    Raises: EvidenceRefused with provenance.reference_values for software whose platforms nobody measured, where only TDX could run it,
    and for more than MAX_VALUES in all.
    """
    software = tuple(item for values in found for item in values.software)
    platforms = tuple(item for values in found for item in values.platforms)
    if len(software) * len(platforms) > MAX_VALUES:
        raise EvidenceRefused(_CHECK, f"{len(software)} builds on {len(platforms)} platforms", f"at most {MAX_VALUES} together")
    whole = tuple(_on(item, platform) for item in software for platform in platforms if _fits(item, platform))
    if software and not whole and policy.cpu == ("tdx",):
        raise EvidenceRefused(_CHECK, f"a build without a platform that was measured for it ({len(platforms)} others)", "its MRTD and RTMR0")
    changed: dict[str, Any] = {}
    if "tdx" in policy.cpu:
        tdx = (*policy.tdx.reference_values, *(item for values in found for item in values.tdx), *whole)
        changed["tdx"] = msgspec.structs.replace(policy.tdx, reference_values=tdx)
    if "sev-snp" in policy.cpu:
        snp = (*policy.snp.reference_values, *(item for values in found for item in values.snp))
        changed["snp"] = msgspec.structs.replace(policy.snp, reference_values=snp)
    if "nitro" in policy.cpu:
        nitro = (*policy.nitro.reference_values, *(item for values in found for item in values.nitro))
        changed["nitro"] = msgspec.structs.replace(policy.nitro, reference_values=nitro)
    return msgspec.structs.replace(policy, **changed)


class _Dates(msgspec.Struct, frozen=True):
    issued_at: int
    expires_at: int


@resolved
class _ReferenceValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sev_snp": "sev-snp"}):
    """The predicate urn:ollm:reference-values:v1; `source` of each set is written by the reader, never by the file."""

    issued_at: int
    expires_at: int
    tdx: tuple[TdxReferenceValues, ...] = ()
    sev_snp: tuple[SnpReferenceValues, ...] = ()
    nitro: tuple[NitroReferenceValues, ...] = ()


class _Registers(msgspec.Struct, frozen=True):
    rtmr1: str
    rtmr2: str


@resolved
class _TinfoilBuild(msgspec.Struct, frozen=True):
    """Members beside these describe how the image was made (`cmdline`, `hashes`, `config`); they are measured, so they need no comparison."""

    snp_measurement: str
    tdx_measurement: _Registers
    vm_shape: Shape | None = None


class _TinfoilPlatform(msgspec.Struct, frozen=True):
    mrtd: str
    rtmr0: str
    shape: Shape | None = None


@resolved
class _TinfoilPlatforms(msgspec.Struct, frozen=True):
    measurements: dict[str, _TinfoilPlatform]


def _reference_values(statement: VerifiedStatement) -> Measured:
    predicate = dict(statement.predicate)
    source = _source(statement)
    for technology in {"tdx", "sev-snp", "nitro"} & set(predicate):
        predicate[technology] = _sourced(predicate[technology], source)
    values = _converted(predicate, _ReferenceValues)
    if not 0 < values.issued_at < values.expires_at < _YEAR_10000:
        raise EvidenceRefused(_CHECK, "values that end before they were issued, or never", "issued_at before expires_at, Unix seconds")
    sets: tuple[AnyReferenceValues, ...] = (*values.tdx, *values.sev_snp, *values.nitro)
    if not 0 < len(sets) <= MAX_VALUES:
        raise EvidenceRefused(_CHECK, f"{len(sets)} sets of values", f"1 to {MAX_VALUES}")
    for item in sets:
        _check_set(item)
    return Measured(tdx=values.tdx, snp=values.sev_snp, nitro=values.nitro, ends=values.expires_at)


def _tinfoil_build(statement: VerifiedStatement) -> Measured:
    build = _converted(statement.predicate, _TinfoilBuild)
    name, source = _name(statement), _source(statement)
    snp = SnpReferenceValues(name=name, source=source, measurement=build.snp_measurement)
    software = Software(name=name, source=source, rtmr1=build.tdx_measurement.rtmr1, rtmr2=build.tdx_measurement.rtmr2, shape=build.vm_shape)
    _check_set(snp)
    _check_set(software)
    return Measured(snp=(snp,), software=(software,))


def _tinfoil_platforms(statement: VerifiedStatement) -> Measured:
    return _platforms(statement, {"measurements": statement.predicate})


def _tinfoil_endorsements(statement: VerifiedStatement) -> Measured:
    return _platforms(statement, statement.predicate)


_READERS: dict[str, Callable[[VerifiedStatement], Measured]] = {
    REFERENCE_VALUES: _reference_values,
    TINFOIL_BUILD: _tinfoil_build,
    TINFOIL_PLATFORMS: _tinfoil_platforms,
    TINFOIL_ENDORSEMENTS: _tinfoil_endorsements,
}


def _platforms(statement: VerifiedStatement, predicate: dict[str, Any]) -> Measured:
    found = _converted(predicate, _TinfoilPlatforms).measurements
    if len(found) > MAX_VALUES:
        raise EvidenceRefused(_CHECK, f"{len(found)} platforms", f"at most {MAX_VALUES}")
    source = _source(statement)
    platforms = tuple(Platform(name=name, source=source, mrtd=item.mrtd, rtmr0=item.rtmr0, shape=item.shape) for name, item in found.items())
    for platform in platforms:
        _check_set(platform)
    return Measured(platforms=platforms)


def _fits(software: Software, platform: Platform) -> bool:
    """Software configured for a shape runs only on a platform measured for it; a dimension that either leaves open doesn't count."""
    want, have = software.shape, platform.shape
    if want is None or have is None:
        return want is None
    dimensions = ((want.cpus, have.cpus), (want.memory_mb, have.memory_mb), (want.gpus, have.gpus), (want.disks, have.disks))
    return all(wanted == measured for wanted, measured in dimensions if wanted is not None and measured is not None)


def _on(software: Software, platform: Platform) -> TdxReferenceValues:
    return TdxReferenceValues(
        name=f"{software.name} on {platform.name}",
        source=software.source if platform.source == software.source else f"{software.source}; platform: {platform.source}",
        mrtd=platform.mrtd,
        rtmr0=platform.rtmr0,
        rtmr1=software.rtmr1,
        rtmr2=software.rtmr2,
        rtmr3=_NO_RUNTIME,
    )


def _name(statement: VerifiedStatement) -> str:
    return f"{statement.by.repository} {statement.by.ref.rpartition('/')[2]}" if isinstance(statement.by, CertifiedBuild) else str(statement.by)


def _source(statement: VerifiedStatement) -> str:
    """Repository, workflow, ref and time, or key and time."""
    return f"{statement.by}, signed {_utc(statement.signed_at)}"


def _sourced(sets: object, source: str) -> object:
    """Each set with its source; what is no list of objects is left for the conversion to refuse."""
    if not isinstance(sets, list):
        return sets
    if any(isinstance(item, dict) and "source" in item for item in sets):
        raise EvidenceRefused(_CHECK, "a set that names its own source", "sets without `source`")
    return [{**item, "source": source} if isinstance(item, dict) else item for item in sets]


def _check_set(item: msgspec.Struct) -> None:
    """Every text of `item` is hex of its length, but for its name and source."""
    if not _NAME.fullmatch(str(getattr(item, "name", ""))):
        raise EvidenceRefused(_CHECK, "a set without a name, or with one that can't be printed", "1 to 200 printable ASCII characters")
    for field, length in _LENGTHS.items():
        value = getattr(item, field, None)
        for text in value if isinstance(value, tuple) else (value,):
            if text is not None and (len(text) != length or not _HEX.fullmatch(text)):
                raise EvidenceRefused(_CHECK, f"{field} that is no measurement", f"{length} lowercase hexadecimal characters")


def _converted(document: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        raise EvidenceRefused(_CHECK, "a predicate of another form", kind.__name__.strip("_")) from None


def _utc(seconds: int) -> str:
    """`seconds` for people; times that no calendar holds stay numbers."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if 0 <= seconds < _YEAR_10000 else str(seconds)
