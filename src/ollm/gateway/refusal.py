"""A request that a configured rule forbids: step 3 of the path says so, and a receipt is made of it."""

from ollm.errors import ApiError


class PolicyRefusal(Exception):
    """A configured rule forbids it. Answered with `error`, and recorded in a receipt with `reason`."""

    def __init__(self, error: ApiError, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
