"""Requests take their places once their bodies are there, and those bodies hold no more than is bounded."""

import asyncio

import pytest

from ollm.errors import ApiError
from ollm.gateway.places import Places


def test_one_more_than_the_limit_is_too_many() -> None:
    places = Places(2, 100)
    places.running = 2
    places.check()
    places.running = 3
    with pytest.raises(ApiError) as full:
        places.check()
    assert (full.value.status, full.value.code, full.value.headers) == (503, "overloaded", {"retry-after": "1"})


def test_a_request_whose_body_is_on_its_way_has_no_place_yet() -> None:
    places = Places(1, 100)
    places.running = 2
    with places.receiving():
        places.check()
    with pytest.raises(ApiError):
        places.check()


def test_what_such_bodies_hold_is_bounded_and_given_back() -> None:
    places = Places(10, 100)
    with places.receiving() as one, places.receiving() as other:
        one.came(6000)
        other.came(400)
        with pytest.raises(ApiError) as full:
            other.came(1)
        assert (full.value.status, full.value.code) == (503, "overloaded")
    with places.receiving() as next_one:
        next_one.came(6400)


async def test_they_are_emptied_when_the_last_request_is_over() -> None:
    places = Places(1, 100)
    await asyncio.wait_for(places.emptied(), 1)
    places.running = 1
    waiting = asyncio.create_task(places.emptied())
    await asyncio.sleep(0)
    assert not waiting.done()
    places.running = 0
    await asyncio.wait_for(waiting, 1)
