"""What a table of rules says, in words: one line for each thing that it demands."""

from collections.abc import Iterator

from ollm.values.rules import Names, PromptRule, Rules

_ACTIONS = {"block": "refused", "mask": "masked"}
_SIZES = (("prompt_bytes", "bytes of its body"), ("messages", "messages"), ("tools", "tools"), ("images", "images"))


def lines(name: str, rules: Rules) -> Iterator[str]:
    """`rules` of the table `name`, for people."""
    said = list(_demands(rules))
    yield f'Rules "{name}"' + (f" ({rules.description})" if rules.description else "") + (":" if said else " demand nothing.")
    yield from (f"  - {line}" for line in said)


def _demands(rules: Rules) -> Iterator[str]:
    yield from _routes(rules)
    for kind, names in (("upstreams", rules.upstreams), ("models", rules.models), ("endpoints", rules.endpoints), ("tools", rules.tools)):
        yield from _names(kind, names)
    yield from _members(rules)
    yield from map(_prompt, rules.prompt)


def _routes(rules: Rules) -> Iterator[str]:
    if rules.require is not None:
        yield f"only routes of level {rules.require} or above may serve"
    if rules.technologies is not None:
        yield f"the machine's evidence must prove {_or(rules.technologies)}"
    if rules.gpu is not None:
        yield "evidence of its GPUs must be verified too"
    if rules.max_evidence_age is not None:
        yield f"the machine was verified at most {rules.max_evidence_age} seconds ago; else it is verified anew first"
    if rules.regions is not None:
        yield f"upstreams must be in {_or(rules.regions)}, by the configuration's word"


def _members(rules: Rules) -> Iterator[str]:
    if rules.parameters.deny:
        yield f"a request must not have {_or(rules.parameters.deny)}"
    for member, most in sorted(rules.parameters.max.items()):
        yield f"{member} is at most {most:g}"
    for field, what in _SIZES:
        most = getattr(rules.sizes, field)
        if most is not None:
            yield f"a request has at most {most} {what}"


def _names(kind: str, names: Names) -> Iterator[str]:
    if names.allow is not None:
        yield f"{kind}: only {_or(names.allow)}"
    if names.deny:
        yield f"{kind}: not {_or(names.deny)}"


def _prompt(rule: PromptRule) -> str:
    what = f"what matches {rule.pattern}" if rule.detect == "pattern" else rule.detect.replace("_", " ").replace(":", " ")
    where = " and ".join(f"{side}s" for side in rule.on)
    mask = f' as "{rule.mask}"' if rule.action == "mask" else ""
    return f"{rule.name}: {what} in {where} is {_ACTIONS[rule.action]}{mask}"


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names) or "none at all"
