"""A whole installation: a simulated enclave and a gateway as processes, configured by a file as an operator would write it."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.sim.reference import policy_toml
from ollm.values.level import Level
from tests.stage import Machine, new_key
from tests.system.processes import COMMAND, Process, clean_environment, command, free_ports, until

# A model as clients name it → upstream, and the model's name there. The sim-… models are the enclave's own (sim/responder.py).
MODELS = {
    "chat": ("enclave", "sim-chat"),
    "slow-headers": ("enclave", "sim-slow-headers"),
    "slow-first": ("enclave", "sim-slow-first"),
    "slow-stream": ("enclave", "sim-slow-stream"),
    "cut": ("enclave", "sim-cut"),
    "error-stream": ("enclave", "sim-error-stream"),
    "limited": ("enclave", "sim-error-429"),
    "malformed": ("enclave", "sim-error-422"),
    "failing": ("enclave", "sim-error-500"),
    "gone": ("enclave", "no-such-model"),
    "unverified": ("changed-software", "sim-chat"),
    "down": ("nobody", "sim-chat"),
}
MAX_BODY = 256 * 1024
_GATEWAY = """\
[gateway]
listen = "127.0.0.1:{port}"
floor = "simulated"
max_body_bytes = {max_body}
drain_seconds = 10.0
{settings}
[gateway.timeouts]
verify = 10.0

[evidence]
quote_source = "dstack:{agent}"

{policy}
[policies.other-software]
level = "simulated"
[policies.other-software.tdx]
{tdx}
[[policies.other-software.tdx.reference_values]]
name = "software that nobody runs"
source = "made up by the tests"
mrtd = "{zeros}"
compose_hashes = ["{zeros64}"]
"""
_UPSTREAM = """
[upstreams.{name}]
url = "{url}"
policy = "{policy}"
pcs_url = "{pcs}"
root_crl_url = "{pcs}/IntelSGXRootCA.der"
"""
_MODEL = """
[models."{name}"]
upstreams = ["{upstream}"]
upstream_model = "{there}"
price = {{ input = 150000, output = 600000 }}
"""


class Installation:
    """Where it lies, and its processes. `close` ends all of them."""

    def __init__(self, directory: Path, *, environment: Mapping[str, str] | None = None, settings: str = "") -> None:
        self.directory = directory
        self.state = directory / "state"
        self.logs = directory / "logs"
        self.logs.mkdir(parents=True)
        self._environment = clean_environment(directory / "home", **(environment or {}))
        self._settings = settings
        self._gateway_port, self._enclave_port, self._pcs_port = free_ports(3)
        self._processes: dict[str, Process] = {}
        self._policy: dict[str, str] = {}

    def start(self, name: str, arguments: Sequence[str]) -> Process:
        """A process of this installation; its name is taken over from an ended one."""
        process = self._processes[name] = Process(name, arguments, self.logs, self._environment)
        return process

    @property
    def processes(self) -> list[Process]:
        return list(self._processes.values())

    # The enclave

    @property
    def enclave(self) -> Process:
        return self._processes["enclave"]

    def start_enclave(self) -> None:
        """Always the same address, machine and root, and new keys with each start."""
        options = ["--port", str(self._enclave_port), "--pcs-port", str(self._pcs_port), "--agent-socket", str(self._agent)]
        self._policy = self.sim("enclave", [*COMMAND, "sim", "enclave", *options])

    def sim(self, name: str, start: Sequence[str]) -> dict[str, str]:
        """Another simulated enclave of the same root. Returns its announcement."""
        return self.start(name, [*start, "--state", str(self.directory / "simulated-hardware"), "--json"]).announced()

    @property
    def _agent(self) -> Path:
        return self.directory / "agent.sock"

    # The gateway

    def configure(self, models: Mapping[str, tuple[str, str]] = MODELS, more: Mapping[str, Machine] | None = None) -> None:
        """Write ollm.toml and secrets; `more` upstreams, by name, are machines of the test's own."""
        found = self._policy
        (dead,) = free_ports(1)
        tdx = found["policy"].partition(".tdx]\n")[2].partition("\n\n")[0]
        text = _GATEWAY.format(
            port=self._gateway_port,
            max_body=MAX_BODY,
            settings=self._settings,
            agent=self._agent,
            policy=found["policy"],
            tdx=tdx,
            zeros="0" * 96,
            zeros64="0" * 64,
        )
        text += _UPSTREAM.format(name="enclave", url=found["url"], policy="simulated", pcs=found["pcs_url"])
        text += _UPSTREAM.format(name="changed-software", url=found["url"], policy="other-software", pcs=found["pcs_url"])
        text += _UPSTREAM.format(name="nobody", url=f"https://127.0.0.1:{dead}", policy="simulated", pcs=found["pcs_url"])
        for name, machine in (more or {}).items():
            text += _UPSTREAM.format(name=name, url=machine.url, policy=name, pcs=machine.pcs_url)
            text += "\n" + policy_toml(msgspec.structs.replace(machine.policy, name=name))
        for name, (upstream, there) in models.items():
            text += _MODEL.format(name=name, upstream=upstream, there=there)
        self.config = initialise(self.directory, text)

    @property
    def gateway(self) -> Process:
        return self._processes["gateway"]

    @property
    def url(self) -> str:
        """Of the gateway, without /v1."""
        return f"http://127.0.0.1:{self._gateway_port}"

    @property
    def port(self) -> int:
        return self._gateway_port

    def start_gateway(self) -> None:
        self.start("gateway", [*COMMAND, "serve", "--config", str(self.config), "--json"]).announced()

    def created_key(self, name: str, *options: str) -> str:
        """A new key, made by the command line, once the running gateway knows it (within a second)."""
        made = command(self.directory, "keys", "create", name, *options, "--config", str(self.config), "--json")
        return self._known(str(made["key"]))

    def key(self, name: str, require: Level = Level.SIMULATED) -> str:
        """The same without a process of its own, which takes seconds on a busy machine."""
        return self._known(asyncio.run(new_key(load(self.config), require=require, name=name)))

    def _known(self, key: str) -> str:
        headers = {"authorization": f"Bearer {key}"}
        until(lambda: httpx2.get(self.url + "/v1/models", headers=headers, trust_env=False).status_code == 200, "the gateway knows the new key")
        return key

    # What is kept

    @property
    def database(self) -> Path:
        return self.state / "ollm.db"

    def rows(self, where: str = "1 = 1", *values: object) -> list[dict[str, Any]]:
        """Rows of the ledger, with names. Read as an auditor would: from outside, while the gateway runs."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(f"SELECT * FROM ledger_text WHERE {where} ORDER BY entry", values)
            return [dict(row) for row in found]

    def settled(self, count: int, where: str = "1 = 1", *values: object) -> list[dict[str, Any]]:
        """The rows, once there are `count` of them."""
        until(lambda: len(self.rows(where, *values)) >= count, f"{count} rows where {where}")
        return self.rows(where, *values)

    def intents(self) -> list[str]:
        """Lines of the intents file without its head: requests that may have reached a provider since it was begun."""
        return (self.state / "ollm.db-intents").read_text().rstrip("\0").splitlines()[1:]

    def close(self) -> None:
        for process in reversed(self.processes):
            process.end()


@contextmanager
def installed(directory: Path, *, settings: str = "", environment: Mapping[str, str] | None = None) -> Iterator[Installation]:
    """Enclave and gateway running, with the models of MODELS."""
    installation = Installation(directory, environment=environment, settings=settings)
    try:
        installation.start_enclave()
        installation.configure()
        installation.start_gateway()
        yield installation
    finally:
        installation.close()
