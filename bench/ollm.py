"""OLLM under test: simulated enclaves, a configuration for each variant, and the gateway's processes, all through the command line.

full       durability "full", attested TLS to nginx          process    durability "process", the same
unsealed   durability "full", attested TLS to own enclave    sealed     the same, and bodies sealed to it (EHBP)

What teams are controlled by, each on top of the one before, on durability "process": limits (of requests and tokens, and in parallel, of
organisation, project and key), budget (of project and key), rules (cards masked in prompt and answer). controlled: all of it on "full".
"""

import asyncio
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from bench.load import Target
from bench.mock import MODEL, Mock
from bench.procs import BenchError, Cores, Group, free_ports
from ollm.app.build import store_of
from ollm.config.load import key_bytes, load
from ollm.store.keys import NewKey
from ollm.store.schema import projects
from ollm.store.sqlite import Store
from ollm.store.subjects import authenticated, columns_of
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Project
from ollm.values.level import Level
from ollm.values.terms import NO_TERMS, Budget, Limit, Terms

CONTROLS = ("limits", "budget", "rules", "controlled")
VARIANTS = ("full", "process", *CONTROLS, "unsealed", "sealed")
TITLES = {
    "full": "OLLM, full",
    "process": "OLLM, process",
    "limits": "OLLM, process, limits",
    "budget": "OLLM, process, limits and budgets",
    "rules": "OLLM, process, limits, budgets, rules",
    "controlled": "OLLM, full, limits, budgets, rules",
    "unsealed": "OLLM, own enclave, unsealed",
    "sealed": "OLLM, own enclave, sealed",
}
COMMAND = (sys.executable, "-m", "ollm")
START_SECONDS = 60
_MANY = 10**12  # more than a run uses
_RULES = """\
rules = ["cards"]

[[rules.cards.prompt]]
name = "card"
detect = "payment_card"
on = ["request", "answer"]
action = "mask"
"""
_SECRETS = ("pepper", "row-key", "receipt-key")


@dataclass(frozen=True)
class Upstream:
    """A machine that the gateway verifies. `url` serves the model, `pcs` its collateral and the policy that admits it."""

    url: str
    pcs: str
    seal: str


def start(group: Group, cores: Cores, mock: Mock, variants: Sequence[str]) -> dict[str, Target]:
    """Starts the enclaves that `variants` need, and a gateway for each variant. Raises: BenchError."""
    found = {}
    attested = _attest_mock(group, cores, mock) if set(variants) - {"unsealed", "sealed"} else None
    enclave = _own_enclave(group, cores, mock) if {"unsealed", "sealed"} & set(variants) else None
    for name in variants:
        durability = "process" if name in ("process", "limits", "budget", "rules") else "full"
        if name not in ("unsealed", "sealed"):
            assert attested is not None
            upstream = Upstream(attested.url, attested.pcs, "tls")
        else:
            assert enclave is not None
            upstream = Upstream(enclave.url, enclave.pcs, "ehbp" if name == "sealed" else "tls")
        found[name] = _gateway(group, cores, name, durability, upstream)
    return found


def _attest_mock(group: Group, cores: Cores, mock: Mock) -> Upstream:
    """An enclave that serves evidence alone, for the TLS key that nginx holds."""
    (pcs,) = free_ports(1)
    options = ["--attest-only", "--tls-key", str(mock.key), "--tls-cert", str(mock.certificate)]
    _enclave(group, cores, "enclave-attests", mock.attest_port, pcs, options)
    return Upstream(f"https://127.0.0.1:{mock.tls_port}", f"http://127.0.0.1:{pcs}", "tls")


def _own_enclave(group: Group, cores: Cores, mock: Mock) -> Upstream:
    """An enclave that opens sealed bodies and asks the same model server behind it."""
    port, pcs = free_ports(2)
    options = ["--allow-plaintext", "--upstream", f"http://127.0.0.1:{mock.plain_port}/v1"]
    _enclave(group, cores, "enclave-opens", port, pcs, options)
    return Upstream(f"https://127.0.0.1:{port}", f"http://127.0.0.1:{pcs}", "ehbp")


def _enclave(group: Group, cores: Cores, name: str, port: int, pcs: int, options: Sequence[str]) -> None:
    command = [*COMMAND, "sim", "enclave", "--port", str(port), "--pcs-port", str(pcs), *options]
    process = group.start(name, command, core=cores.load, cwd=group.directory)
    process.wait_for_port(pcs, START_SECONDS)
    process.wait_for_port(port, START_SECONDS)


def _policy(pcs: str) -> str:
    """The part of ollm.toml that admits the simulated machine, as the machine gives it out."""
    try:
        with urllib.request.urlopen(f"{pcs}/sim/policy.toml", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, urllib.error.URLError) as problem:
        raise BenchError(f"no policy from the simulated enclave: {problem}") from problem


def _configuration(port: int, durability: str, upstream: Upstream, rules: str) -> str:
    return f"""\
[gateway]
listen = "127.0.0.1:{port}"
floor = "simulated"
durability = "{durability}"
{rules}

{_policy(upstream.pcs)}
[upstreams.machine]
url = "{upstream.url}"
policy = "simulated"
seal = "{upstream.seal}"
pcs_url = "{upstream.pcs}"
root_crl_url = "{upstream.pcs}/IntelSGXRootCA.der"

[models.{MODEL}]
upstreams = ["machine"]
price = {{ input = 500000, output = 1500000 }}
"""


def _gateway(group: Group, cores: Cores, name: str, durability: str, upstream: Upstream) -> Target:
    """One `ollm serve` with its own directory, store and key."""
    (port,) = free_ports(1)
    directory = group.directory / name
    (directory / "secrets").mkdir(parents=True)
    for secret in _SECRETS:
        path = directory / "secrets" / secret
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    config = directory / "ollm.toml"
    config.write_text(_configuration(port, durability, upstream, _RULES if name in ("rules", "controlled") else ""))
    key = asyncio.run(_create_key(config, _terms(name)))
    process = group.start(f"ollm-{name}", [*COMMAND, "serve", "--config", str(config)], core=cores.gateway, cwd=directory)
    process.wait_for_port(port, START_SECONDS)
    return Target(TITLES[name], f"http://127.0.0.1:{port}", key, process, receipts=True)


def _terms(variant: str) -> tuple[Terms, Terms]:
    """The terms of the project and of the key."""
    limits = (Limit(requests_per_minute=_MANY, tokens_per_minute=_MANY, requests_per_day=_MANY, parallel=_MANY),)
    budgets = (Budget(limit_micro=_MANY),)
    if variant not in CONTROLS:
        return NO_TERMS, NO_TERMS
    terms = Terms(limits=limits) if variant == "limits" else Terms(limits=limits, budgets=budgets)
    return terms, terms


async def _create_key(config: Path, terms: tuple[Terms, Terms]) -> str:
    loaded = load(config)
    pepper, row_key = (key_bytes(loaded.secret(source), source) for source in (loaded.settings.secrets.pepper, loaded.settings.secrets.row_key))
    async with store_of(loaded, role="admin") as store:
        project = Project(DEFAULT_PROJECT, DEFAULT_ORG, "default", terms[0], 0, None, b"")
        await asyncio.to_thread(_replace, store, authenticated(project, row_key))
        new = NewKey(name="bench", require=Level.SIMULATED, created_at=int(time.time()), terms=terms[1])
        text, _ = await store.keys.create(new, pepper=pepper)
    return text


def _replace(store: Store, project: Project) -> None:
    with store.engine.begin() as connection:
        connection.execute(update(projects).where(projects.c.project_id == project.project_id).values(columns_of(project)))
