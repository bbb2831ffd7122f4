"""What must be installed: Debian's nginx with Lua and wrk, and the peers in a virtual environment of their own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.procs import BenchError

ROOT = Path(__file__).resolve().parents[1]
VAR = ROOT / "bench" / "var"
PACKAGES = ("nginx", "libnginx-mod-http-lua", "wrk")
LUA_MODULES = Path("/usr/lib/nginx/modules")


@dataclass(frozen=True)
class Peers:
    """Programs of the peers' virtual environment."""

    envoy: Path
    litellm: Path
    py_spy: Path


def _missing() -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    missing = [name for name in ("nginx", "wrk") if shutil.which(name, path=path) is None]
    if not (LUA_MODULES / "ngx_http_lua_module.so").exists():
        missing.append("libnginx-mod-http-lua")
    if shutil.which("taskset", path=path) is None:
        missing.append("util-linux")
    return missing


def nginx() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError("nginx is not installed")
    return found


def system_packages() -> None:
    """Sees to the Debian packages: installs them as root, else names them. Raises: BenchError."""
    missing = _missing()
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchError(f"not installed: {', '.join(missing)}; as root: apt-get install {' '.join(PACKAGES)}")
    # RUNLEVEL=1 keeps the packages' scripts from starting a system-wide nginx on port 80 (invoke-rc.d, deb-systemd-invoke)
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode != 0:
            raise BenchError(f"`{' '.join(command)}` failed")
    if still := _missing():
        raise BenchError(f"still not there after apt-get install: {', '.join(still)}")


def peers(venv: Path) -> Peers:
    """The peers' programs in `venv`. Raises: BenchError naming how to get them."""
    found = Peers(envoy=venv / "bin" / "envoy", litellm=venv / "bin" / "litellm", py_spy=venv / "bin" / "py-spy")
    missing = [program.name for program in (found.envoy, found.litellm) if not program.exists()]
    if missing:
        raise BenchError(f"no {' and no '.join(missing)} in {venv}; `make bench` sets it up, or OLLM_BENCH_VENV names another")
    return found


def peers_venv() -> Path:
    return Path(os.environ.get("OLLM_BENCH_VENV", ROOT / ".venv-bench"))
