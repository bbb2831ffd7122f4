"""A verified machine for an admitted request, or the route without evidence that it was admitted to: step 4 of the path.

Until it returns, nothing of the prompt has left.
"""

from ollm.errors import ApiError
from ollm.gateway.admit import Ticket
from ollm.gateway.applied import Applied, session_broken
from ollm.gateway.context import Gateway
from ollm.upstream.keeper import Held
from ollm.upstream.session import Route, Unverified, VerifiedSession


class TrustRefusal(Exception):
    """No verified route. Answered with `error`, and recorded in a receipt with `reason`."""

    def __init__(self, error: ApiError, reason: str, upstream: str) -> None:
        super().__init__("trust refusal")
        self.error = error
        self.reason = reason
        self.upstream = upstream


def held(gateway: Gateway, ticket: Ticket, name: str) -> Route | None:
    """The session that upstream `name` has now, which neither the caller nor a rule chooses: what `attested` would give, without waiting."""
    return None if ticket.demand.session_ids or ticket.rules.on_routes else gateway.keepers[name].held()


async def attested(gateway: Gateway, ticket: Ticket, name: str) -> Route:
    """A session of upstream `name` that meets the ticket's demand. Raises: TrustRefusal, always before anything is sent."""
    keeper = gateway.keepers[name]
    wanted = ticket.demand.session_ids
    accepted = next((each for each in keeper.sessions() if each.session_id in wanted), None) if wanted else None
    session = accepted or keeper.held() or await _verified(gateway, keeper)
    if ticket.rules.on_routes:
        session = await _ruled(gateway, ticket.rules, keeper, session)
    if wanted and session.session_id not in wanted:
        message = "None of the sessions named in provider.aci_session_ids can serve this request now. The prompt was not forwarded."
        raise TrustRefusal(ApiError(412, "session_not_accepted", None, message), "session_not_accepted", name)
    return session


async def _ruled(gateway: Gateway, rules: Applied, keeper: Held, session: Route) -> Route:
    """`session`, or a newer one, once it meets the rules about what a machine has proved. Raises: TrustRefusal."""
    since = gateway.clock.now() - rules.max_age if rules.max_age is not None else 0
    if isinstance(session, VerifiedSession) and session.established_at < since:
        session = await _verified(gateway, keeper, since)
    broken = session_broken(rules, session, gateway.clock.now())
    if broken is None:
        return session
    message = f"What the machine behind '{keeper.name}' proved doesn't meet a rule ({broken}). The prompt was not forwarded."
    error = ApiError(403, "permission_error", "policy_refused", message, headers={"x-should-retry": "false"})
    raise TrustRefusal(error, f"policy: {broken}", keeper.name)


async def _verified(gateway: Gateway, keeper: Held, since: int = 0) -> Route:
    try:
        return await keeper.session(gateway.settings.gateway.timeouts.verify, since)
    except Unverified as refusal:
        raise _refusal(refusal.reason, keeper.name) from None
    except TimeoutError:
        raise _refusal("evidence.fetch: got no verdict in time, want a verified session", keeper.name) from None


def _refusal(reason: str, name: str) -> TrustRefusal:
    message = f"The machine behind '{name}' could not be verified ({reason}). The prompt was not forwarded."
    return TrustRefusal(unverified(message), reason, name)


def unverified(message: str) -> ApiError:
    """503 for a machine that is not verified. Clients are told not to ask again at once: the same evidence gets the same verdict."""
    code = "upstream_verification_failed"
    return ApiError(503, code, code, message, headers={"x-should-retry": "false"})
