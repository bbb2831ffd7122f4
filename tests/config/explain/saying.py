"""What is said about a policy, by severity, for tests that read like the policy's own words."""

from ollm.config.explain.document import explain
from ollm.config.explain.points import Severity
from ollm.values.policy import AttestationPolicy
from tests.config.samples import TODAY


def said(policy: AttestationPolicy, field: str, severity: Severity | None) -> list[str]:
    """Sentences of one severity about a field and what is in it; None: what holds of an accepted machine."""
    return [
        each.text for each in explain(policy, TODAY).said if each.severity is severity and (each.field == field or each.field.startswith(f"{field}."))
    ]


def holds(policy: AttestationPolicy, field: str) -> str:
    return " | ".join(said(policy, field, None))


def exposes(policy: AttestationPolicy, field: str) -> str:
    return " | ".join(said(policy, field, Severity.EXPOSES))


def weakens(policy: AttestationPolicy, field: str) -> str:
    return " | ".join(said(policy, field, Severity.WEAKENS))


def notes(policy: AttestationPolicy, field: str) -> str:
    return " | ".join(said(policy, field, Severity.NOTE))


def nothing(policy: AttestationPolicy, field: str) -> str:
    return " | ".join(said(policy, field, Severity.NOTHING))
