"""The stage of `ollm demo`: a gateway and two simulated enclaves in one process, every one of them the real code.

One enclave is genuine, the other has the debug bit set. The gateway attests itself with a third simulated machine, over a
socket shaped like dstack's guest agent. Hardware is the only thing that is played.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from ollm.app.build import store_of
from ollm.app.initialise import initialise
from ollm.app.serve import running
from ollm.config.load import Loaded, key_bytes, load
from ollm.gateway.context import Gateway
from ollm.net.clock import SystemClock
from ollm.sim.agent import GuestAgent
from ollm.sim.machine import SimulatedMachine
from ollm.sim.reference import policy, policy_toml
from ollm.sim.responder import CHAT_MODEL
from ollm.sim.service import SimEnclave, SimOptions
from ollm.sim.upstream import first_model
from ollm.store.keys import NewKey
from ollm.values.level import Level
from ollm.values.secret import Hidden

MODEL = "demo"
BROKEN_MODEL = "demo-debug"
_CONFIG = """\
# Written by `ollm demo`: simulated hardware everywhere, so the floor is simulated. Never serve real prompts with this.
[gateway]
listen = "127.0.0.1:{port}"
data_dir = "state"
floor = "simulated"

[gateway.timeouts]
verify = 60.0  # everything runs on this machine, which may have other things to do

[evidence]
quote_source = "dstack:dstack.sock"

{policies}
[upstreams.enclave]
url = "{url}"
policy = "enclave"
pcs_url = "{pcs}"
root_crl_url = "{pcs}/IntelSGXRootCA.der"

[upstreams.debug-enclave]
url = "{broken_url}"
policy = "enclave"
pcs_url = "{pcs}"
root_crl_url = "{pcs}/IntelSGXRootCA.der"

[models.{model}]
upstreams = ["enclave"]
upstream_model = {upstream_model}
price = {{ input = 150000, output = 600000 }}

[models.{broken_model}]
upstreams = ["debug-enclave"]
upstream_model = {upstream_model}
"""


class Stage(Hidden, frozen=True):
    """What the demo plays on."""

    loaded: Loaded
    gateway: Gateway
    url: str  # of the gateway, without /v1
    api_key: str
    enclave: SimEnclave
    broken: SimEnclave

    def __repr__(self) -> str:
        return f"<Stage {self.url}>"  # without the key


@contextlib.asynccontextmanager
async def stage(directory: Path, *, port: int = 0, upstream: str | None = None) -> AsyncIterator[Stage]:
    """Everything started, in `directory`; `upstream` puts an OpenAI-compatible server, and the first model that it lists, behind the enclave."""
    upstream_model = await first_model(upstream) if upstream is not None else CHAT_MODEL
    clock = SystemClock()
    state = directory / "simulated-hardware"
    async with (
        SimEnclave(SimOptions(state_dir=state, upstream=upstream)) as enclave,
        SimEnclave(SimOptions(state_dir=state, broken="debug-bit", machine="machine-2")) as broken,
    ):
        own_machine = SimulatedMachine(enclave.pki, clock, name="gateway-machine", app_name="ollm-gateway")
        agent = GuestAgent(own_machine, directory / "dstack.sock")
        await agent.start()
        try:
            loaded = load(_configuration(directory, enclave, broken, own_machine, port, upstream_model))
            api_key = await _key(loaded)
            async with running(loaded) as (gateway, server):
                yield Stage(loaded, gateway, f"http://127.0.0.1:{server.port}", api_key, enclave, broken)
        finally:
            await agent.stop()


def _configuration(directory: Path, enclave: SimEnclave, broken: SimEnclave, own_machine: SimulatedMachine, port: int, upstream_model: str) -> Path:
    admitted = msgspec.structs.replace(enclave.policy, name="enclave")
    policies = policy_toml(admitted) + "\n" + policy_toml(policy((own_machine,), name="gateway"))
    text = _CONFIG.format(
        port=port,
        policies=policies,
        url=enclave.url,
        pcs=enclave.pcs_url,
        broken_url=broken.url,
        model=MODEL,
        broken_model=BROKEN_MODEL,
        upstream_model=json.dumps(upstream_model, ensure_ascii=False),  # a TOML string as well
    )
    return initialise(directory, text)


async def _key(loaded: Loaded) -> str:
    """An API key, made as `ollm keys create` makes it."""
    source = loaded.settings.secrets.pepper
    async with store_of(loaded, role="admin") as store:
        pepper = key_bytes(loaded.secret(source), source)
        text, _ = await store.keys.create(NewKey(name="demo", require=Level.SIMULATED, created_at=SystemClock().now()), pepper=pepper)
    return text
