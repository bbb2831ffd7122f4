"""The tree of errors is the one that the module draws, and texts hold what their raiser put there and nothing else."""

import re

import pytest

from ollm import errors
from ollm.errors import ApiError, ChannelRefused, ConfigError, EvidenceRefused, OllmError, SealError, StoreError, UpstreamError, WireError, let_go


def drawn() -> dict[str, str]:
    """Child → parent, as the module's docstring draws it."""
    branches: list[str] = []
    found: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^ {4}(?P<indent>[│ ]*)(?P<branch>[├└]── )?(?P<name>[A-Z]\w+)(?: {2,}\S.*)?$", line)
        if match is None:
            continue
        depth = len(match["indent"]) // 4 + bool(match["branch"])
        del branches[depth:]
        if branches:
            found[match["name"]] = branches[-1]
        branches.append(match["name"])
    return found


def real(parent: type[BaseException] = OllmError) -> dict[str, str]:
    """Child → parent, as the classes are."""
    found: dict[str, str] = {}
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= {child.__name__: parent.__name__, **real(child)}
    return found


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn() == real()
    assert drawn()["ChannelRefused"] == "UpstreamError"


def test_there_are_no_other_exceptions_in_the_module() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)}
    assert classes == {"OllmError", *real()}


def test_the_tree_hangs_on_exception_so_that_no_handler_of_ours_stops_a_cancellation() -> None:
    assert OllmError.__mro__[1] is Exception


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("no key", "make one"), "no key (make one)"),
        (ConfigError("no key"), "no key"),
        (EvidenceRefused("quote.debug", "set", "clear"), "quote.debug: got set, want clear"),
        (SealError("AEAD_DECRYPT_FAILED"), "AEAD_DECRYPT_FAILED"),
        (SealError("FRAMING_TRUNCATED", "frame 3"), "FRAMING_TRUNCATED: frame 3"),
        (WireError("not JSON", "messages"), "not JSON"),
        (StoreError("locked", "stop the other"), "locked (stop the other)"),
        (StoreError("locked"), "locked"),
        (ApiError(404, "not_found", "not_found", "Gone."), "Gone."),
        (UpstreamError("headers", "timed out"), "headers: timed out"),
        (ChannelRefused("aa", "bb"), "connect: channel.spki: got aa, want bb"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OllmError) else None,
)
def test_texts(error: OllmError, text: str) -> None:
    assert str(error) == text


def test_a_refused_channel_is_a_failure_before_anything_was_sent() -> None:
    error = ChannelRefused("aa", "bb")
    assert (error.phase, error.status, error.got, error.want) == ("connect", None, "aa", "bb")


def test_an_answers_headers_are_its_own() -> None:
    one, other = (ApiError(400, "invalid_request_error", None, "No.") for _ in range(2))
    assert one.headers == other.headers == {}
    assert one.headers is not other.headers
    assert (one.code, one.param) == (None, None)
    assert ApiError(405, "t", "c", "m", param="p", headers={"allow": "GET"}).headers == {"allow": "GET"}


def test_a_problem_that_is_dealt_with_holds_no_frames() -> None:
    def connect() -> None:
        try:
            raise OSError
        except OSError:
            raise UpstreamError("connect", "OSError") from None

    with pytest.raises(UpstreamError) as caught:
        connect()
    problem = caught.value
    cause = problem.__context__
    assert isinstance(cause, OSError)
    assert None not in (problem.__traceback__, cause.__traceback__)
    let_go(problem)
    assert (problem.__traceback__, cause.__traceback__) == (None, None)


def test_an_error_can_be_raised_anew() -> None:
    first = UpstreamError("stream", "cut", status=500)
    again = first.again()
    assert again is not first
    assert (again.phase, again.reason, again.status, str(again)) == ("stream", "cut", 500, str(first))
