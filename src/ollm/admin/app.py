"""The control plane as an ASGI callable: the table of routes, who may ask what, and the last line of defence for errors."""

import logging
import os

from starlette.routing import Route, Router

from ollm.admin.call import Call, admitted, send_answer
from ollm.admin.context import Admin
from ollm.admin.routes import ROUTES, Way
from ollm.errors import ApiError, ChangeRefused, ConfigError, NoSuchSubject, OllmError, StoreError
from ollm.serving.http import Header, Receive, Scope, Send, error_response, respond

log = logging.getLogger("ollm.admin")

HEALTH = "/healthz"  # needs no key: nothing in it is anybody's
_NO_STORE = (b"cache-control", b"no-store")
_ID = "ollm.request_id"


class App:
    """ASGI callable over `admin`. `routes` are those of the table, and the one that says that the process runs."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        by_path: dict[str, dict[str, Way]] = {}
        for way in ROUTES:
            by_path.setdefault(way.path, {})[way.method] = way
        self.routes = [Route(path, _Path(admin, ways), methods=None) for path, ways in by_path.items()]
        self.routes.append(Route(HEALTH, _Health(), methods=None))
        self._router = Router(self.routes, redirect_slashes=False, default=_unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        base: list[Header] = [(b"x-request-id", f"req_{os.urandom(16).hex()}".encode()), _NO_STORE]
        scope[_ID] = base
        started = False

        async def watched(message: Scope) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._router(scope, receive, watched)
        except OllmError as problem:
            if started:
                raise  # the client sees that the answer isn't whole
            status, headers, body = error_response(answer_of(problem))
            await respond(watched, status, body, [*base, *headers])


class _Path:
    """All methods of one path."""

    def __init__(self, admin: Admin, ways: dict[str, Way]) -> None:
        self._admin = admin
        self._ways = ways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = self._ways.get(scope["method"])
        if way is None:
            allow = ", ".join(self._ways)
            raise ApiError(405, "invalid_request_error", "method_not_allowed", f"This endpoint answers to {allow} only.", headers={"allow": allow})
        standing = admitted(self._admin, scope, way.roles)
        answer = await way.handle(Call(self._admin, scope, receive, standing))
        await send_answer(send, answer, scope[_ID])


class _Health:
    """The process runs. An object, since Starlette takes functions for handlers of its own kind."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, {"status": "ok"}, scope[_ID])


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    raise ApiError(404, "invalid_request_error", "unknown_url", "There is no such endpoint here.")


def answer_of(problem: OllmError) -> ApiError:
    """What the client is told of `problem`."""
    match problem:
        case ApiError():
            return problem
        case NoSuchSubject():
            return ApiError(404, "invalid_request_error", "not_found", f"There is no such {problem.kind} here.")
        case ChangeRefused():
            return ApiError(400, "invalid_request_error", "change_refused", str(problem))
        case ConfigError():
            return ApiError(400, "invalid_request_error", "unknown_reference", str(problem))
        case StoreError():
            log.error("the store failed", extra={"error": problem.cause})
            return ApiError(503, "api_error", "store_unavailable", "The store can't be read or written now.", headers={"retry-after": "5"})
        case _:
            log.error("request failed inside", extra={"error": type(problem).__name__})
            return ApiError(500, "api_error", "internal_error", "The control plane failed; the request was not completed.")
