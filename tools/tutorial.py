"""docs/tutorial/real-model.md at once: llama.cpp behind a simulated enclave, a gateway before it, and a client that streams.

Every step is a command of the tutorial, run in a temporary folder. Ends with 0 when real tokens came through one after the
other and the receipt of their answer holds.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ollm.cli.client import CLIENT_NAME, Chat, streamed_chat

ROOT = Path(__file__).parent.parent
ENGINE_PYTHON = ROOT / ".venv-tutorial/bin/python"
_OLLM = (sys.executable, "-m", "ollm")
_START_SECONDS = 120.0  # the first start puts the model's file together
_PROMPT = "What does a gateway do?"
_LEAST_PIECES = 5  # of an answer that streamed; a whole one comes in one piece
_MODEL = """
[models.gemma]
upstreams = ["simulated"]
upstream_model = "gemma-3-270m"
"""


@contextlib.contextmanager
def running(command: Sequence[str | Path], folder: Path) -> Iterator[int]:
    """`command` as a process for as long as the context lasts; gives the file descriptor of what it prints."""
    process = subprocess.Popen([str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if process.stdout is None:
        raise RuntimeError("no pipe")
    try:
        yield process.stdout.fileno()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def announced(output: int, complete: Callable[[str], Any]) -> Any:
    """What a process prints once it serves: `complete` makes something of it, or raises ValueError while it isn't all there.

    Raises: RuntimeError when the process ends before, or takes too long.
    """
    text = b""
    deadline = time.monotonic() + _START_SECONDS
    while select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(output, 65536)
        if not data:
            raise RuntimeError("a process ended before it served")
        text += data
        with contextlib.suppress(ValueError):
            return complete(text.decode())
    raise RuntimeError(f"nothing was announced within {_START_SECONDS:.0f} s")


def _line(text: str) -> str:
    line, end, _ = text.partition("\n")
    if not end:
        raise ValueError
    return line


def told(*arguments: str | Path) -> None:
    """Show a step as the command that it is."""
    print("\n$ ollm " + " ".join(map(str, arguments)), flush=True)


def ollm(folder: Path, *arguments: str | Path) -> str:
    """Run one command to its end; what it printed. Raises: CalledProcessError."""
    told(*arguments)
    return subprocess.run([*_OLLM, *map(str, arguments)], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def configure(config: Path, enclave: dict[str, str]) -> None:
    """The decisions that the tutorial makes by hand: which machine, which model, and that simulated hardware may serve."""
    text = config.read_text(encoding="utf-8")
    text = text.replace('floor = "tee" ', 'floor = "simulated" ').replace('quote_source = "none"', 'quote_source = "dstack:agent.sock"')
    text = text.replace('"127.0.0.1:8400"', '"127.0.0.1:0"')
    upstream = f'[upstreams.simulated]\nurl = "{enclave["url"]}"\npolicy = "simulated"\n'
    collateral = f'pcs_url = "{enclave["pcs_url"]}"\nroot_crl_url = "{enclave["root_crl_url"]}"\n'
    config.write_text(f"{text}\n{enclave['policy']}\n{upstream}{collateral}{_MODEL}", encoding="utf-8")


def chat(url: str, key: str) -> tuple[Chat, int]:
    """One streamed answer, shown as it comes; with the number of its pieces."""
    print(f"\n{CLIENT_NAME}, streaming from {url}/v1: {_PROMPT}\n", flush=True)
    moments: list[float] = []

    def show(piece: str) -> None:
        moments.append(time.monotonic())
        print(piece, end="", flush=True)

    begun = time.monotonic()
    answer = streamed_chat(url, key, "gemma", _PROMPT, show)
    if len(moments) < _LEAST_PIECES or moments[-1] == moments[0]:
        raise RuntimeError(f"the answer did not stream: {len(moments)} pieces")
    rate = (len(moments) - 1) / (moments[-1] - moments[0])
    print(f"\n\n{len(moments)} pieces, the first after {moments[0] - begun:.2f} s, then {rate:.1f} a second", flush=True)
    return answer, len(moments)


def verify(folder: Path, url: str, key: str, answer: Chat) -> None:
    """Check the receipt as the tutorial does. Raises: CalledProcessError when it doesn't hold."""
    (folder / "request.json").write_bytes(answer.request)
    (folder / "response.txt").write_bytes(answer.response)
    (folder / "key").write_text(key)
    (folder / "key").chmod(0o600)
    bodies = ("--request", "request.json", "--response", "response.txt")
    found = json.loads(
        ollm(folder, "verify", "receipt", answer.receipt_id, "--gateway", url, "--policy", "simulated", *bodies, "--key", "file:key", "--json")
    )
    for check in found["checks"]:
        if check["name"].startswith("receipt."):
            print(f"  {check['outcome']:<8} {check['name']}")
    print("  " + ", ".join(event["type"] for event in found["receipt"]["event_log"]))


def play(folder: Path) -> None:
    """The whole tutorial in `folder`."""
    with contextlib.ExitStack() as exits:
        print(f"$ {ENGINE_PYTHON.relative_to(ROOT)} tools/engine.py --port 0", flush=True)
        engine = announced(exits.enter_context(running((ENGINE_PYTHON, ROOT / "tools/engine.py", "--port", "0"), folder)), _line)
        print(f"llama.cpp serves {engine}")

        print(ollm(folder, "init", ".").rstrip())
        arguments = ("sim", "enclave", "--state", "sim", "--agent-socket", "agent.sock", "--upstream", engine)
        told(*arguments)
        enclave = announced(exits.enter_context(running((*_OLLM, *arguments, "--json"), folder)), json.loads)
        print(f"simulated enclave at {enclave['url']}")
        configure(folder / "ollm.toml", enclave)

        verdict = json.loads(ollm(folder, "verify", "provider", "simulated", "--json"))
        print(f"accepted: {verdict['accepted']}, {len(verdict['checks'])} checks, level {verdict['level']}")
        key = json.loads(ollm(folder, "keys", "create", "me", "--require", "simulated", "--json"))["key"]
        told("serve")
        gateway = announced(exits.enter_context(running((*_OLLM, "serve", "--json"), folder)), json.loads)
        answer, _ = chat(gateway["url"], key)
        verify(folder, gateway["url"], key, answer)


def main() -> int:
    """Play it in a folder that is gone afterwards; the exit status."""
    with tempfile.TemporaryDirectory(prefix="ollm-tutorial-") as folder:
        try:
            play(Path(folder))
        except (RuntimeError, subprocess.CalledProcessError) as problem:
            print(f"\nThe tutorial failed: {problem}", file=sys.stderr)
            return 1
    print("\nReal tokens, streamed through the gateway from an engine behind a simulated enclave, and a receipt that holds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
