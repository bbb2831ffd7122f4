"""Rules for requests: what may be asked, of whom, and what text may go in and come out. `[rules.NAME]` of the measured configuration.

Several tables may stand above one request: `[gateway] rules`, and those that its organisation, project and key name. All of them hold
together, so each can only tighten. Absent means "not restricted here"; an empty `allow` allows nothing. Only `[[exceptions]]`, in the same
measured file, lift anything: for one key or project, until a day, with a reason.
"""

import datetime
from typing import Annotated, Literal, get_args

import msgspec

from ollm.values.hexes import Sha256, sha256_of
from ollm.values.level import Level
from ollm.values.policy import Technology
from ollm.values.terms import Name

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Member = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]  # of a request's body
RuleName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
MaskText = Annotated[str, msgspec.Meta(max_length=64, pattern=r'^[^\x00-\x1f\x7f-\x9f"\\\ud800-\udfff]*$')]  # the same in JSON, inside JSON as well
Detect = Literal[
    "pattern",
    "payment_card",
    "iban",
    "secret",
    "email",
    "phone",
    "ip",
    "national_id:be_rrn",
    "national_id:br_cpf",
    "national_id:ca_sin",
    "national_id:ch_ahv",
    "national_id:cn_ric",
    "national_id:de_steuer_id",
    "national_id:es_dni",
    "national_id:fi_hetu",
    "national_id:fr_nir",
    "national_id:in_aadhaar",
    "national_id:it_cf",
    "national_id:nl_bsn",
    "national_id:pl_pesel",
    "national_id:se_personnummer",
    "national_id:uk_nino",
    "national_id:us_ssn",
]
DETECTORS: tuple[str, ...] = tuple(name for name in get_args(Detect) if name != "pattern")
Side = Literal["request", "answer"]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which names are allowed: those of `allow` (absent: all) that are not in `deny`."""

    allow: tuple[Name, ...] | None = None
    deny: tuple[Name, ...] = ()

    def permits(self, name: str) -> bool:
        """Whether `name` is allowed."""
        return name not in self.deny and (self.allow is None or name in self.allow)


ALL_NAMES = Names()


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Members of a request's body: those that it must not have, and the largest values of others."""

    deny: tuple[Member, ...] = ()
    max: dict[Member, float] = {}


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The most that one request may hold."""

    prompt_bytes: Count | None = None  # of the body; of a form, of its fields
    messages: Count | None = None
    tools: Count | None = None
    images: Count | None = None


class PromptRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What must not go in, or come out: text that a detector finds."""

    name: RuleName
    detect: Detect
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None  # RE2 syntax; with detect = "pattern" only
    longest: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 128  # characters of a match of `pattern`: so many of a stream are held back
    on: Annotated[tuple[Side, ...], msgspec.Meta(min_length=1, max_length=2)] = ("request",)
    action: Literal["block", "mask"] = "block"
    mask: MaskText = "[masked]"  # what stands in place of a match


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One table of rules."""

    description: Text | None = None  # for people
    require: Level | None = None  # lowest execution level
    technologies: tuple[Technology, ...] | None = None  # of the CPU that reads the prompt, as its evidence proved it
    gpu: Literal["required"] | None = None  # required: evidence of its GPUs was verified too
    max_evidence_age: Annotated[int, msgspec.Meta(ge=60, le=10**8)] | None = None  # seconds since the machine was verified
    regions: tuple[Name, ...] | None = None  # as upstreams.NAME.region says
    upstreams: Names = ALL_NAMES
    models: Names = ALL_NAMES  # own names
    endpoints: Names = ALL_NAMES  # such as chat.completions
    tools: Names = ALL_NAMES  # of functions, and types of tools that have no name
    parameters: Parameters = Parameters()
    sizes: Sizes = Sizes()
    prompt: tuple[PromptRule, ...] = ()


class RuleException(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One key or project is let off one thing for a while. Each use of it is logged, and stands in the receipt."""

    name: RuleName
    key: Name | None = None  # id of a key
    project: Name | None = None
    level: Level | None = None  # routes of this level may serve, whatever `gateway.floor` and rules require
    rule: Name | None = None  # a table's name, or TABLE/NAME of one of its prompt rules
    reason: Text
    until: Annotated[datetime.datetime, msgspec.Meta(tz=True)]  # the first moment at which it holds no more

    @property
    def until_unix(self) -> int:
        """`until` in Unix seconds."""
        return int(self.until.timestamp())


def digest(tables: dict[str, Rules]) -> Sha256:
    """SHA-256 of `tables`, by their names, as JSON with sorted members and without defaults."""
    return sha256_of(_encode(msgspec.to_builtins(tables)))
