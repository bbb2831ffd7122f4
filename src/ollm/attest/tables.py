"""Every table of checks in one: what each proves and who demands it, for reports and documents."""

from ollm.attest import checks
from ollm.attest.dstack import checks as dstack
from ollm.attest.nitro import checks as nitro
from ollm.attest.nvidia import checks as nvidia
from ollm.attest.proof import Proof
from ollm.attest.provenance import checks as provenance
from ollm.attest.services.chutes import checks as chutes
from ollm.attest.services.dstack_signer import checks as dstack_signer
from ollm.attest.services.privatemode import checks as privatemode
from ollm.attest.services.tinfoil import checks as tinfoil
from ollm.attest.sevsnp import checks as sevsnp
from ollm.attest.tdx import checks as tdx
from ollm.attest.tokens import checks as tokens
from ollm.attest.tokens import unsupported

TABLES: tuple[dict[str, Proof], ...] = (
    checks.BEFORE,
    unsupported.CHECKS,
    checks.SHAPE,
    checks.CUSTODY,
    checks.REPORT,
    tinfoil.CHECKS,
    chutes.CHECKS,
    dstack_signer.CHECKS,
    privatemode.CHECKS,
    checks.MACHINE,
    provenance.CHECKS,
    tdx.CHECKS,
    sevsnp.CHECKS,
    nitro.CHECKS,
    checks.CHANNEL,
    checks.BINDING,
    tdx.SOFTWARE,
    dstack.CHECKS,
    nvidia.CHECKS,
    tokens.CHECKS,
    checks.DEVICES,
)
ALL_CHECKS: dict[str, Proof] = {name: proof for table in TABLES for name, proof in table.items()}
