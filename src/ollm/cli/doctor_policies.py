"""What `ollm doctor` says of policies: what accepts nothing, what is over, what is left open to the host."""

import datetime
from collections.abc import Iterator

from ollm.config.explain.document import explain
from ollm.config.explain.points import Severity, vouched
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy


def policy_notes(policy: AttestationPolicy, today: datetime.date) -> Iterator[tuple[str, str]]:
    """What to know of `policy`, each with what to do about it."""
    name = policy.name
    if policy.level is Level.SIMULATED:
        yield f"policy {name} admits simulated hardware, which proves nothing about privacy", "remove it where real prompts are served"
    values = {"tdx": policy.tdx.reference_values, "sev-snp": policy.snp.reference_values, "nitro": policy.nitro.reference_values}
    tables = {"tdx": "tdx", "sev-snp": "snp", "nitro": "nitro"}
    for technology in policy.cpu:
        if not values[technology] and not vouched(policy):
            add = f"add [[policies.{name}.{tables[technology]}.reference_values]]"
            yield f"policy {name} has no reference values for {technology}, so it accepts nothing of it", add
    if "tdx" in policy.cpu and not policy.require_compose:
        yield f"policy {name} does not look at the software's compose file", "require_compose = true"
    graces = [(grace.status, grace.until) for grace in policy.tdx.grace] + [(grace.product, grace.until) for grace in policy.snp.grace]
    for what, until in graces:
        if until <= today:
            yield f"policy {name} has a grace for {what} that ended on {until}", "remove it"
        else:
            days = (until - today).days
            yield f"policy {name} accepts {what} for {days} more day{'s' if days != 1 else ''}, in spite of known flaws", "have the machines updated"
    exposed = len(explain(policy, today).of(Severity.EXPOSES))
    if exposed and policy.level is not Level.SIMULATED:
        yield f"policy {name} leaves {exposed} point{'s' if exposed != 1 else ''} open by which the host could read prompts", "ollm policy explain"
