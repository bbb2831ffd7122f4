"""The rules that stand above a request, put together: all of them hold, so of each kind the strictest counts."""

from collections.abc import Iterable, Mapping

import msgspec

from ollm.attest.summary import gpu, tee_types
from ollm.config.settings import Settings
from ollm.upstream.session import Route, VerifiedSession
from ollm.values.hexes import Sha256
from ollm.values.level import Level, strictest
from ollm.values.policy import Technology
from ollm.values.rules import ALL_NAMES, Names, Parameters, PromptRule, RuleException, Rules, Sizes, digest
from ollm.wire.detect.screen import Screen, screen_of


class Broken(msgspec.Struct, frozen=True):
    """A rule that is not met. `rule` names it: TABLE.KEY. Words of the configuration and fixed ones only, never of the request."""

    rule: str
    got: str
    want: str

    def __str__(self) -> str:
        return f"rules.{self.rule}: got {self.got}, want {self.want}"


class Applied(msgspec.Struct, frozen=True):
    """`tables` in the order in which they were named. `missing`: a name that the configuration doesn't have, which nothing may pass."""

    tables: Mapping[str, Rules]
    digest: Sha256 | None
    floor: Level
    exceptions: tuple[RuleException, ...]
    request: Screen | None
    answer: Screen | None
    on_routes: bool  # whether some rule is about what an upstream is, or has proved
    on_requests: bool  # whether some rule is about what is asked of whom: models, endpoints, parameters, tools, sizes
    missing: str | None = None

    @property
    def names(self) -> str:
        """Of the tables, as receipts have them."""
        return ",".join(self.tables)

    @property
    def any(self) -> bool:
        """Whether there is something to judge a request by."""
        return bool(self.tables) or self.missing is not None

    @property
    def lifted(self) -> Level | None:
        """The level that an exception lets the request down to, from what configuration and rules require."""
        if not self.exceptions:
            return None
        levels = [each.level for each in self.exceptions if each.level is not None]
        return min(levels, key=lambda level: level.rank) if levels else None

    @property
    def max_age(self) -> int | None:
        """Seconds since a machine was verified."""
        ages = [rules.max_evidence_age for rules in self.tables.values() if rules.max_evidence_age is not None]
        return min(ages) if ages else None

    def names_broken(self, kind: str, name: str) -> Broken | None:
        """The rule about `kind` (models, endpoints, upstreams, tools) that doesn't allow `name`."""
        for table, rules in self.tables.items():
            names: Names = getattr(rules, kind)
            if not names.permits(name):
                return Broken(f"{table}.{kind}", "one that is not allowed", _allowed(names))
        return None


NOTHING = Applied({}, None, Level.SIMULATED, (), None, None, False, False)


def applied(tables: Mapping[str, Rules], exceptions: tuple[RuleException, ...] = (), missing: str | None = None) -> Applied:
    """`tables` with what `exceptions` lift of them. Raises: WireError for a pattern that can't be compiled, which loading has refused."""
    lifted = {each.rule for each in exceptions if each.rule is not None}
    left = {name: _without(name, rules, lifted) for name, rules in tables.items() if name not in lifted}
    prompt: list[tuple[str, PromptRule]] = [(name, rule) for name, rules in left.items() for rule in rules.prompt]
    floors = [rules.require for rules in left.values() if rules.require is not None]
    return Applied(
        left,
        digest(dict(left)) if left else None,
        strictest(Level.SIMULATED, *floors),
        exceptions,
        screen_of(prompt, "request"),
        screen_of(prompt, "answer"),
        any(_about_routes(rules) for rules in left.values()),
        any(_about_requests(rules) for rules in left.values()),
        missing,
    )


def _without(table: str, rules: Rules, lifted: Iterable[str]) -> Rules:
    kept = tuple(rule for rule in rules.prompt if f"{table}/{rule.name}" not in lifted)
    return rules if len(kept) == len(rules.prompt) else msgspec.structs.replace(rules, prompt=kept)


def _about_routes(rules: Rules) -> bool:
    demands = (rules.technologies, rules.gpu, rules.max_evidence_age, rules.regions, rules.upstreams.allow)
    return any(each is not None for each in demands) or bool(rules.upstreams.deny)


def _about_requests(rules: Rules) -> bool:
    free = (rules.models, rules.endpoints, rules.tools) == (ALL_NAMES, ALL_NAMES, ALL_NAMES)
    return not free or rules.parameters != Parameters() or rules.sizes != Sizes()


def _allowed(names: Names) -> str:
    if names.allow is None:
        return "none of those that are denied"
    return " or ".join(each for each in names.allow if each not in names.deny) or "none at all"


# --- routes -------------------------------------------------------------------------------------------------------------


def route_broken(rules: Applied, settings: Settings, name: str) -> Broken | None:
    """The rule that upstream `name` can't meet whatever it proves: by its configuration alone."""
    upstream = settings.upstreams[name]
    policy = settings.policies[upstream.policy] if upstream.policy is not None else None
    for table, each in rules.tables.items():
        if not each.upstreams.permits(name):
            return Broken(f"{table}.upstreams", name, _allowed(each.upstreams))
        if each.regions is not None and upstream.region not in each.regions:
            return Broken(f"{table}.regions", upstream.region or "no region", " or ".join(each.regions) or "none at all")
        if each.technologies is not None and not (policy is not None and set(policy.cpu) & set(each.technologies)):
            return Broken(f"{table}.technologies", " or ".join(policy.cpu) if policy is not None else "no evidence", _listed(each.technologies))
        if each.gpu is not None and policy is None:
            return Broken(f"{table}.gpu", "no evidence", "verified GPUs")
        if each.max_evidence_age is not None and policy is None:
            return Broken(f"{table}.max_evidence_age", "no evidence", f"evidence of at most {each.max_evidence_age} seconds")
    return None


def session_broken(rules: Applied, session: Route, now: int) -> Broken | None:
    """The rule that what `session` proved doesn't meet at `now` (Unix seconds)."""
    for table, each in rules.tables.items():
        if each.technologies is None and each.gpu is None and each.max_evidence_age is None:
            continue
        if not isinstance(session, VerifiedSession):
            return Broken(table, "no evidence", "a verified machine")
        if each.technologies is not None and not _is_one_of(tee_types(session.appraisal), each.technologies):
            return Broken(f"{table}.technologies", _listed(tee_types(session.appraisal)), _listed(each.technologies))
        if each.gpu is not None and (claim := gpu(session.appraisal) or {}).get("status") != "asserted":
            return Broken(f"{table}.gpu", str(claim.get("status", "nothing")), "asserted by verified evidence")
        if each.max_evidence_age is not None and now - session.established_at > each.max_evidence_age:
            return Broken(f"{table}.max_evidence_age", "older evidence", f"at most {each.max_evidence_age} seconds")
    return None


def _is_one_of(found: tuple[Technology, ...], wanted: tuple[Technology, ...]) -> bool:
    """All that were attested are wanted ones, and there is one."""
    return bool(found) and set(found) <= set(wanted)


def _listed(technologies: tuple[Technology, ...]) -> str:
    return " or ".join(technologies) or "none that hardware attests"
