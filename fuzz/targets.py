"""All parsers under test, by technology."""

from functools import cache

from fuzz import chutes, general, nitro, nvidia, privatemode, provenance, sevsnp, signer, tdx, tinfoil, tokens
from fuzz.target import Target

TARGETS: tuple[Target, ...] = (
    *tdx.TARGETS,
    *sevsnp.TARGETS,
    *nvidia.TARGETS,
    *tokens.TARGETS,
    *nitro.TARGETS,
    *provenance.TARGETS,
    *chutes.TARGETS,
    *tinfoil.TARGETS,
    *privatemode.TARGETS,
    *signer.TARGETS,
    *general.TARGETS,
)


@cache
def by_name() -> dict[str, Target]:
    """Every target by its name."""
    return {target.name: target for target in TARGETS}
