"""The plain-HTTP listener beside the enclave, loopback only: collateral as Intel's PCS serves it, and the enclave's counters.

It stands for the world around the machine; nothing of a prompt passes here.
"""

import msgspec

from ollm.errors import ApiError
from ollm.serving.http import Receive, Scope, Send, error_response, query, respond
from ollm.sim.enclave import Counters
from ollm.sim.machine import Hardware

COUNTERS_PATH = "/sim/counters"
POLICY_PATH = "/sim/policy.toml"


class Control:
    """ASGI callable over `machine`'s collateral; `policy` is the fragment of `ollm.toml` that admits the machine."""

    def __init__(self, machine: Hardware, counters: Counters, policy: str) -> None:
        self._machine = machine
        self._counters = counters
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            if scope["method"] != "GET":
                raise ApiError(405, "invalid_request_error", "method_not_allowed", "only GET is served here")
            await self._answer(scope, send)
        except ApiError as error:
            status, headers, body = error_response(error)
            await respond(send, status, body, headers)

    async def _answer(self, scope: Scope, send: Send) -> None:
        if scope["path"] == COUNTERS_PATH:
            await respond(send, 200, msgspec.json.encode(self._counters))
        elif scope["path"] == POLICY_PATH:
            await respond(send, 200, self._policy.encode(), content_type=b"application/toml")
        else:
            status, headers, body = self._machine.pcs_answer(scope["path"], query(scope))
            fields = {name.lower(): value for name, value in headers.items()}
            content_type = fields.pop("content-type", "application/json").encode()
            await respond(send, status, body, [(name.encode(), value.encode()) for name, value in fields.items()], content_type)
