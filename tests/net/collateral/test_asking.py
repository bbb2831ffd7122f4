"""One request, one good answer; anything else says for how long not to ask again."""

from collections.abc import Mapping

import pytest

from ollm.errors import CollateralError, UpstreamError
from ollm.net.collateral.asking import Asker, all_of, path_segment
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetched
from tests.net.collateral.vendor import NOW, MovableClock, Script, closing, ok, vendor


async def refusal(status: int, **headers: str) -> CollateralError:
    fetch = HttpFetch()
    async with vendor(lambda target, body: (status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")) as service:
        with pytest.raises(CollateralError) as refused:
            await Asker(fetch, MovableClock()).get(service.url + "/x")
        await fetch.close()
    assert len(service.asked) == 1
    return refused.value


async def test_a_good_answer_comes_whole() -> None:
    fetch = HttpFetch()
    async with vendor(lambda target, body: ok(body or b"read", x_chain="y")) as service:
        asker = Asker(fetch, MovableClock())
        read, posted = await asker.get(service.url + "/x"), await asker.post(service.url + "/x", b"question", "application/ocsp-request")
        await fetch.close()
    assert (read.body, read.headers["x-chain"], posted.body) == (b"read", "y", b"question")
    assert [method for method, _, _ in service.asked] == ["GET", "POST"]


@pytest.mark.parametrize("status", [204, 301, 302, 400, 404, 500, 503])
async def test_any_other_status_is_a_failure(status: int) -> None:
    problem = await refusal(status, location="http://127.0.0.1:1/elsewhere")
    assert (problem.status, problem.retry_after) == (status, None)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(lambda target, body: None, "timed out", id="silence"),
        pytest.param(lambda target, body: ok(b"x" * 2000), "too large", id="too much"),
        pytest.param(lambda target, body: (200, {"content-encoding": "gzip"}, b"no gzip"), "DecodingError", id="another encoding"),
    ],
)
async def test_neither_silence_nor_a_flood_is_waited_for(script: Script, why: str) -> None:
    fetch = HttpFetch(timeout=0.2, max_body=1000)
    async with closing(fetch), vendor(script) as service:
        with pytest.raises(UpstreamError, match=why):
            await Asker(fetch, MovableClock()).get(service.url)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("99999999999", None),
        ("Fri, 99 Jan 2027 08:00:30 GMT", None),
    ],
)
async def test_how_long_a_service_asks_to_be_left_alone(value: str, seconds: float | None) -> None:
    assert (await refusal(429, retry_after=value)).retry_after == seconds


@pytest.mark.parametrize("text", ["NV_GPU_DRIVER_GH100_550.90.07", "ab" * 64, "Milan"])
def test_what_evidence_names_can_be_a_part_of_a_path(text: str) -> None:
    assert path_segment(text, "a thing") == text


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "a?b=c", "a#b", "a b", "a%2fb", "ä", "-a", "a" * 161, "a\n"])
def test_what_evidence_names_does_not_become_another_url(text: str) -> None:
    with pytest.raises(UpstreamError, match="names a thing that can't exist"):
        path_segment(text, "a thing")


async def test_parts_are_had_together_and_none_runs_on_when_one_fails() -> None:
    ended = []

    async def part(number: int) -> int:
        ended.append(number)
        if number == 1:
            raise UpstreamError("connect", "down")
        return number

    assert await all_of(part(number) for number in (0, 2)) == [0, 2]
    with pytest.raises(UpstreamError):
        await all_of(part(number) for number in (0, 1, 2))
    assert ended == [0, 2, 0, 1, 2]


class Fixed:
    """`ports.Fetch` with one answer."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self._answer = Fetched(status, headers, b"")

    async def get(self, url: str) -> Fetched:
        return self._answer

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        return self._answer


async def test_the_clock_that_counts_is_the_one_that_is_given() -> None:
    asker = Asker(Fixed(503, {"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}), MovableClock(NOW + 50))
    with pytest.raises(CollateralError) as refused:
        await asker.post("https://vendor.example/", b"", "text/plain")
    assert refused.value.retry_after == 10.0
