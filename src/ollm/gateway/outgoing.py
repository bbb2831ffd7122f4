"""What is to be sent to an upstream: the client's own request, or its translation where the provider speaks another API."""

from ollm.errors import ApiError, WireError
from ollm.gateway.admit import Ticket
from ollm.values.secret import Hidden
from ollm.wire.dialects import DIALECTS
from ollm.wire.dialects.dialect import Dialect
from ollm.wire.endpoints import ENDPOINTS, Endpoint
from ollm.wire.request import InferenceRequest, JsonRequest


class Outgoing(Hidden, frozen=True):
    """A request before any route has made it its own. `dialect` translates the answer back."""

    endpoint: Endpoint  # at which the provider is asked
    body: bytes
    content_type: str
    streamed: bool
    dialect: Dialect | None = None

    def __repr__(self) -> str:
        return "<outgoing>"


class Untranslatable(ApiError):
    """A part of the request means nothing in the API that this upstream speaks; another upstream may speak the client's."""


def outgoing(request: InferenceRequest, ticket: Ticket, name: str) -> Outgoing:
    """The request for upstream `name`. Raises: Untranslatable."""
    model = ticket.model.upstream_model or ticket.name
    spoken = ticket.ways[name]
    if spoken == request.endpoint.name or not isinstance(request, JsonRequest):
        return Outgoing(request.endpoint, request.forward(model), request.content_type, request.stream)
    dialect = DIALECTS[request.endpoint.name, spoken]
    try:
        body = dialect.request(request.members, model, stream=request.stream, most=ticket.model.max_output)
    except WireError as problem:
        message = f"The provider of this model speaks another API ({spoken}), in which this request can't be said: {problem.reason}."
        raise Untranslatable(400, "invalid_request_error", "untranslatable", message, param=problem.param) from None
    return Outgoing(ENDPOINTS[spoken], body, request.content_type, request.stream, dialect)
