"""OLLM under test (placeholder until serve exists)."""

from collections.abc import Sequence

from bench.load import Target
from bench.mock import Mock
from bench.procs import Cores, Group

VARIANTS = ("full", "process", "unsealed", "sealed")


def start(group: Group, cores: Cores, mock: Mock, variants: Sequence[str]) -> dict[str, Target]:
    return {}
