"""Rules for requests: `[rules.NAME]` to `Rules`, and what about them and their exceptions can't be right.

As a policy, a table holds the rules themselves, or `file` and `sha256` of the file that does.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ollm.config.policy_file import converted, pinned, read_limited, toml_table
from ollm.config.settings import Settings
from ollm.errors import ConfigError, WireError
from ollm.values.level import Level
from ollm.values.rules import Names, PromptRule, RuleException, Rules
from ollm.wire.detect.patterns import available
from ollm.wire.detect.screen import active
from ollm.wire.endpoints import NAMES

_TABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # names stand in receipts, with / and , between them
_DEFAULT = PromptRule(name="default", detect="email")


def rules_of(name: str, table: dict[str, Any], directory: Path) -> Rules:
    """The rules that `[rules.NAME]` stands for; `directory` is the configuration's. Raises: ConfigError."""
    where = f"rules.{name}"
    if not _TABLE.fullmatch(name):
        raise ConfigError(f"{where} is no name of rules", "use at most 64 letters, digits and . _ -")
    if "file" in table or "sha256" in table:
        where, table = pinned(where, table, directory, explain="ollm rules explain --file")
    rules = converted(table, Rules, where)
    check_rules(where, name, rules)
    return rules


def read_rules(path: Path) -> dict[str, Rules]:
    """The rules in the file at `path`, which holds the one table that it is named for. Raises: ConfigError."""
    return {path.stem: rules_of(path.stem, toml_table(read_limited(path), str(path)), path.resolve().parent)}


def check_rules(where: str, name: str, rules: Rules) -> None:
    """What can be said without the rest of the configuration. Raises: ConfigError."""
    names = [rule.name for rule in rules.prompt]
    for each in names:
        if names.count(each) > 1:
            raise ConfigError(f"{where}.prompt has two rules named {each!r}", "give each a name of its own: refusals and receipts show it")
    for rule in rules.prompt:
        _check_prompt(f"{where}.prompt {rule.name!r}", name, rule)
    for member, most in rules.parameters.max.items():
        if not math.isfinite(most):
            raise ConfigError(f"{where}.parameters.max.{member} is not finite", "leave it out where there is no largest value")
    for endpoint in (*(rules.endpoints.allow or ()), *rules.endpoints.deny):
        if endpoint not in NAMES:
            raise ConfigError(f"{where}.endpoints names {endpoint!r}, which is no endpoint", f"one of: {', '.join(sorted(NAMES))}")


def _check_prompt(where: str, table: str, rule: PromptRule) -> None:
    if (rule.detect == "pattern") != (rule.pattern is not None):
        raise ConfigError(f'{where} has only one of detect = "pattern" and pattern', "write both, or name a detector of ours")
    if rule.detect != "pattern" and rule.longest != _DEFAULT.longest:
        raise ConfigError(f"{where} sets longest, and its detector knows how long its matches are", "leave it out")
    if rule.action != "mask" and rule.mask != _DEFAULT.mask:
        raise ConfigError(f"{where} has a mask, and its action is to block", 'set action = "mask", or leave mask out')
    if len(set(rule.on)) != len(rule.on):
        raise ConfigError(f"{where}.on names a side twice", 'write ["request", "answer"]')
    if rule.detect == "pattern" and not available():
        raise ConfigError(f"{where} has a pattern, and the library that matches patterns is not installed", "pip install 'ollm[patterns]'")
    try:
        active(table, rule)
    except WireError as problem:
        raise ConfigError(f"{where}.pattern {problem.reason}", "see docs/reference/rules.md for what patterns can have") from None


def check_references(settings: Settings) -> None:
    """Every name that rules, exceptions and `gateway.rules` use is there. Raises: ConfigError."""
    _known("gateway.rules", "rules", settings.gateway.rules, settings.rules)
    if len(set(settings.gateway.rules)) != len(settings.gateway.rules):
        raise ConfigError("gateway.rules names rules twice", "name each once")
    regions = {upstream.region for upstream in settings.upstreams.values()}
    for name, rules in settings.rules.items():
        where = f"rules.{name}"
        _known(f"{where}.upstreams", "upstream", _all(rules.upstreams), settings.upstreams)
        _known(f"{where}.models", "model", _all(rules.models), settings.models)
        for region in rules.regions or ():
            if region not in regions:
                raise ConfigError(f"{where}.regions names {region!r}, where no upstream is", "set upstreams.NAME.region, or mend the name")
    names = [exception.name for exception in settings.exceptions]
    for exception in settings.exceptions:
        if names.count(exception.name) > 1:
            raise ConfigError(f"two exceptions are named {exception.name!r}", "give each a name of its own: receipts show it")
        _check_exception(f"exception {exception.name!r}", exception, settings)


def _all(names: Names) -> tuple[str, ...]:
    return (*(names.allow or ()), *names.deny)


def _known(where: str, kind: str, names: Iterable[str], table: Iterable[str]) -> None:
    known = set(table)
    for name in names:
        if name not in known:
            section = kind if kind == "rules" else f"{kind}s"
            raise ConfigError(f"{where} names {kind} {name!r}, which is not configured", f"add [{section}.{name}], or mend the name")


def _check_exception(where: str, exception: RuleException, settings: Settings) -> None:
    if (exception.key is None) == (exception.project is None):
        raise ConfigError(f"{where} has not exactly one of key and project", "name the one key, or the one project, that it is for")
    if (exception.level is None) == (exception.rule is None):
        raise ConfigError(f"{where} has not exactly one of level and rule", "write one exception for each thing that is lifted")
    if exception.level is Level.TEE:
        raise ConfigError(f"{where} lifts nothing: tee is the highest level", 'level is "zdr" or "simulated"')
    if exception.rule is None:
        return
    table, slash, name = exception.rule.partition("/")
    rules = settings.rules.get(table)
    if rules is None or (slash and name not in {rule.name for rule in rules.prompt}):
        raise ConfigError(f"{where} names rule {exception.rule!r}, which is not configured", "write TABLE, or TABLE/NAME of one of its prompt rules")


def check_in_time(settings: Settings, now: int) -> None:
    """No exception is past at `now` (Unix seconds): one that has ended is taken out by a person, who sees that it ended. Raises: ConfigError."""
    for exception in settings.exceptions:
        if now >= exception.until_unix:
            day = exception.until.isoformat()
            raise ConfigError(f"exception {exception.name!r} ended at {day}", "take it out of [[exceptions]], or decide anew until when it holds")
