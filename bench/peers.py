"""The peers: Envoy as the fastest thing that relays, LiteLLM as what people run today. Each is one process on the gateway's core."""

import secrets
from pathlib import Path

from bench import needs
from bench.load import Target
from bench.mock import MODEL, Mock, fill
from bench.procs import Cores, Group

HERE = Path(__file__).parent
LITELLM_START_SECONDS = 180  # it imports for long, longer on a busy machine


def start_envoy(group: Group, cores: Cores, programs: needs.Peers, mock: Mock, port: int) -> Target:
    config = group.directory / "envoy.yaml"
    config.write_text(fill(HERE / "envoy.yaml", {"listen": port, "upstream": mock.tls_port}))
    command = [str(programs.envoy), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    process = group.start("envoy", command, core=cores.gateway)
    process.wait_for_port(port, 30)
    return Target("Envoy, upstream TLS", f"http://127.0.0.1:{port}", "none", process)


def start_litellm(group: Group, cores: Cores, programs: needs.Peers, mock: Mock, port: int) -> Target:
    key = "sk-" + secrets.token_hex(24)
    config = group.directory / "litellm.yaml"
    config.touch(mode=0o600)
    config.write_text(fill(HERE / "litellm.yaml", {"model": MODEL, "upstream": mock.plain_port, "key": key}))
    command = [str(programs.litellm), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no fetch of its price list at start
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",  # reads no .env file
        "NO_PROXY": "127.0.0.1",
    }
    process = group.start("litellm", command, core=cores.gateway, env=environment, cwd=group.directory)
    process.wait_for_port(port, LITELLM_START_SECONDS)
    return Target("LiteLLM", f"http://127.0.0.1:{port}", key, process, slow=True)


def direct(mock: Mock) -> Target:
    """The model server without a gateway, over TLS: the ceiling of load generator and model server."""
    return Target("no gateway, TLS", f"https://127.0.0.1:{mock.tls_port}", "none", None)
