"""The data plane as a bare ASGI callable: a table of routes, and the last line of defence for errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ollm.errors import ApiError, OllmError, StoreError
from ollm.gateway import models, own, trust
from ollm.gateway.authenticate import authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.gateway.openapi.document import describe
from ollm.gateway.pipeline import infer
from ollm.gateway.places import Places
from ollm.gateway.running import key_revoked, uncancel
from ollm.serving.http import Receive, Scope, Send, header
from ollm.values.identity import Role
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.refused import refused_endpoint

log = logging.getLogger("ollm.gateway")

Handler = Callable[[Gateway, Call], Awaitable[None]]
NamedHandler = Callable[[Gateway, Call, str], Awaitable[None]]
T = TypeVar("T")

_NO_STORE = "The gateway can't read or write its records now, so it does not serve this."
_JSON_OK = b'{"status":"ok"}'
_HEALTH = "/healthz"
_ANTHROPIC = b"anthropic-version"  # its clients send it everywhere, and read errors of its shape


async def health(gateway: Gateway, call: Call) -> None:
    """The process runs."""
    await call.respond(200, _JSON_OK, [])


async def ready(gateway: Gateway, call: Call) -> None:
    """At least one upstream of each model is verified: requests will be served."""
    unready = [name for name, model in gateway.settings.models.items() if not any(gateway.keepers[up].sessions() for up in model.upstreams)]
    if unready:
        # Asked without a key, so it counts and does not name: GET /v1/models tells its callers which.
        message = f"No verified machine is held for {len(unready)} of {len(gateway.settings.models)} models."
        raise ApiError(503, "api_error", "not_ready", message)
    await call.respond(200, _JSON_OK, [])


ROUTES: dict[str, dict[str, Handler]] = {
    **{endpoint.path: {"POST": partial(infer, endpoint)} for endpoint in ENDPOINTS.values()},
    "/v1/models": {"GET": models.list_models},
    "/v1/key": {"GET": own.key},
    "/v1/usage": {"GET": own.usage},
    "/v1/aci/attestation": {"GET": trust.attestation},
    "/v1/aci/sessions": {"GET": trust.sessions},
    "/openapi.json": {"GET": describe},
    _HEALTH: {"GET": health},
    "/readyz": {"GET": ready},
}
NAMED_ROUTES: dict[str, dict[str, NamedHandler]] = {
    "/v1/models/": {"GET": models.one_model},
    "/v1/aci/receipts/": {"GET": trust.receipt},
    "/v1/aci/sessions/": {"GET": trust.session},
}


_CALLERS = frozenset({Role.MEMBER})
_READERS = frozenset({Role.MEMBER, Role.VIEWER, Role.AUDITOR, Role.ADMIN, Role.OWNER})
PUBLIC: frozenset[Role] = frozenset()  # needs no key: nothing in it is anybody's

# Who may ask what. A route that isn't here can't be served; one that asks for a key while it stands here as public serves nobody.
ROLES: dict[str, frozenset[Role]] = {
    **{endpoint.path: _CALLERS for endpoint in ENDPOINTS.values()},
    "/v1/models": _READERS,
    "/v1/models/": _READERS,
    "/v1/key": _READERS,
    "/v1/usage": _READERS,
    "/v1/aci/attestation": PUBLIC,
    "/v1/aci/sessions": PUBLIC,
    "/v1/aci/sessions/": PUBLIC,
    "/v1/aci/receipts/": _READERS,
    "/openapi.json": PUBLIC,
    _HEALTH: PUBLIC,
    "/readyz": PUBLIC,
}


class _Serving:
    """A gateway, and the places of the requests that it serves."""

    __slots__ = ("base", "gateway", "places")

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.base = [(name.encode(), value.encode()) for name, value in gateway.attestation.headers.items()]
        self.places = Places(gateway.settings.gateway.max_concurrent, gateway.settings.gateway.max_body_bytes)


class App:
    """ASGI callable over `gateway`, in whose place another can be put at any time: each request ends with the one that it began with."""

    def __init__(self, gateway: Gateway) -> None:
        self._serving = _Serving(gateway)

    def base_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer, also of those that the server makes below us."""
        return self._serving.base

    def swap(self, gateway: Gateway) -> Places:
        """Serve with `gateway` from now on. Returns the places of those that are served by the one before."""
        before, self._serving = self._serving, _Serving(gateway)
        return before.places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serving = self._serving
        gateway, places = serving.gateway, serving.places
        call = Call(scope, receive, send, serving.base, gateway.clock.now_ms(), places)
        places.running += 1
        try:
            await self._serve(gateway, places, call)
        except ApiError as error:
            if not call.started:
                await call.fail(error)
        except StoreError:
            if not call.started:
                await call.fail(ApiError(503, "api_error", "store_unavailable", _NO_STORE, headers={"retry-after": "5"}))
        except OllmError as error:
            # Its text is ours, but may say what a client need not know; the log gets the type alone.
            log.error("request failed inside", extra={"error": type(error).__name__})
            if not call.started:
                await call.fail(ApiError(500, "api_error", "internal_error", "The gateway failed; the request was not completed."))
        except asyncio.CancelledError:
            if call.started or not gateway.running.was_cut(call.stem):
                raise
            uncancel()
            await call.fail(key_revoked())  # before there was anything to record
        finally:
            gateway.running.forget(call.stem)
            places.running -= 1

    async def _serve(self, gateway: Gateway, places: Places, call: Call) -> None:
        path, method = call.scope["path"], call.scope["method"]
        if _ANTHROPIC in call.fields and header(call.scope, _ANTHROPIC) is not None:
            call.dialect = "anthropic"
        if path != _HEALTH:  # a busy process is not a dead one: nobody should restart it
            places.check()
        if gateway.tokens is not None:
            call.issued = await gateway.tokens.identify(call.scope)
        methods = ROUTES.get(path)
        if methods is None or method not in methods:
            self._refuse_on_purpose(gateway, call, method, path)
        if methods is not None:
            handler = _allowed(methods, method)
            call.roles = ROLES[path]
            await handler(gateway, call)
            return
        for prefix, named in NAMED_ROUTES.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                one = _allowed(named, method)
                call.roles = ROLES[prefix]
                await one(gateway, call, path[len(prefix) :])
                return
        raise ApiError(404, "invalid_request_error", "unknown_url", "There is no such endpoint here.")

    def _refuse_on_purpose(self, gateway: Gateway, call: Call, method: str, path: str) -> None:
        """Raises: ApiError 404 with the reason, or 401, for an endpoint that is known and not served."""
        refusal = refused_endpoint(method, path)
        if refusal is not None:
            call.roles = _READERS
            authenticate(gateway, call)
            raise ApiError(404, "invalid_request_error", "endpoint_refused", refusal.message)


def _allowed(methods: dict[str, T], method: str) -> T:
    handler = methods.get(method)
    if handler is None:
        allow = ", ".join(methods)
        raise ApiError(405, "invalid_request_error", "method_not_allowed", f"This endpoint answers to {allow} only.", headers={"allow": allow})
    return handler
