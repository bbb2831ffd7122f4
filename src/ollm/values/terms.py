"""Terms: what an organisation, a project or a key may do, how often, and for how much. All terms that stand above a request hold together.

Absent means "not restricted here"; an empty list of names allows none. Terms never lower anything: the levels that they require, the names
that they allow and the limits that they set are met beside those of the measured configuration.
"""

from typing import Annotated, Literal, get_args

import msgspec

from ollm.values.level import Level

Count = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
Micro = Annotated[int, msgspec.Meta(ge=0, le=10**17)]  # micro-units of currency: a hundred billion units at most
Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")]
Network = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f.:]{2,45}(/[0-9]{1,3})?\Z")]  # an address or a CIDR block
Window = Literal["hour", "day", "week", "month", "quarter", "year"]
WINDOWS: tuple[Window, ...] = get_args(Window)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How much at once, in windows of the clock: minutes, and days of UTC. 0 allows none; absent: not limited here."""

    model: Name | None = None  # by its own name; absent: all models together
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_day: Count | None = None
    parallel: Count | None = None  # requests under way at the same time


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Money for a window of the calendar (UTC; weeks begin on Monday)."""

    limit_micro: Micro
    window: Window = "month"
    alerts: tuple[Percent, ...] = (80,)  # of the limit, at which somebody is told


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The terms of one subject."""

    require: Level | None = None  # lowest execution level
    models: tuple[Name, ...] | None = None  # own names
    upstreams: tuple[Name, ...] | None = None
    endpoints: tuple[Name, ...] | None = None  # such as chat.completions
    networks: tuple[Network, ...] | None = None  # where requests may come from
    rules: tuple[Name, ...] = ()  # of the measured configuration, [rules.NAME], beside those that hold for everybody
    limits: tuple[Limit, ...] = ()  # at most one for each model, and one for all
    budgets: tuple[Budget, ...] = ()  # at most one for each window
    max_request_micro: Micro | None = None  # the most that one request may cost


NO_TERMS = Terms()
