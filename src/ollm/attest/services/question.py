"""What the reader of a shape is asked, and what it answers."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ollm.attest.evidence import MachineCollateral
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import VerifiedStatement


class Question(NamedTuple):
    """Everything that decides; the same question has the same answer."""

    evidence: ServiceEvidence
    collateral: tuple[MachineCollateral, ...]  # one for each of the shape's `machines`, in their order
    statements: Sequence[VerifiedStatement]
    policy: AttestationPolicy
    now: int  # Unix seconds
    demand: Demand


Verdict: TypeAlias = tuple[Appraisal, Bound | None]
