"""What an operator accepts as evidence: one value, made from the measured configuration only.

Every field that is absent from the file has the strict value. A list that is empty accepts nothing.
"""

import msgspec

from ollm.values.level import Level


class ReferenceValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted measurements of one build, lowercase hex. A register that is None is not compared; `source` says whence."""

    name: str
    source: str  # where these values come from, for people
    mrtd: str  # 96 hex
    rtmr0: str | None = None
    rtmr1: str | None = None
    rtmr2: str | None = None
    mr_seam: str | None = None
    compose_hashes: tuple[str, ...] = ()  # SHA-256 of accepted app-compose files, 64 hex each


class TdxPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted TDX platforms. `simulated_root_sha256` set means: this policy admits simulated hardware of that root, and no other."""

    simulated_root_sha256: str | None = None  # 64 hex, SHA-256 of the root certificate's DER
    accepted_tcb_status: tuple[str, ...] = ("UpToDate",)
    min_tcb_evaluation_data_number: int = 0
    allow_dynamic_platform: bool = True  # nearly all cloud machines are (reference platforms of every provider seen)
    allow_cached_keys: bool = True
    allow_smt: bool = True
    rejected_advisories: tuple[str, ...] = ()


class AttestationPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One trust decision: which machines running which software may read a prompt."""

    name: str
    level: Level  # tee, or simulated exactly when tdx.simulated_root_sha256 is set
    tdx: TdxPolicy = TdxPolicy()
    reference_values: tuple[ReferenceValues, ...] = ()
    require_event_log: bool = True  # dstack event log must be there and replay to RTMR0-3
    require_compose: bool = True  # app-compose must be there, be the measured one, and be in the reference values
    max_keyset_seconds: int = 90 * 86400  # a keyset valid for longer than this is implausible (ACI §3.1)
