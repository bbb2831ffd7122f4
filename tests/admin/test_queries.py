"""Query strings: lists, ranges, pages, and nothing that isn't known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.admin.queries import MAX_FIELDS, Page, Query
from ollm.errors import ApiError


def test_lists_as_openais_clients_write_them() -> None:
    query = Query(b"ids[]=a&ids%5B%5D=b&one=x&at[gte]=5&yes=true")
    assert query.many("ids") == ("a", "b")
    assert query.one("one") == "x"
    assert query.integer("at[gte]") == 5
    assert query.flag("yes")
    assert not query.flag("no")
    assert query.many("none") == ()
    assert query.one("none") is None
    query.end()


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "x", "١", "9" * 17, "11"])
def test_integers_that_are_none(value: str) -> None:
    with pytest.raises(ApiError) as refused:
        Query(f"n={value}".encode("utf-8", "replace") if value.isascii() else b"n=%D9%A1").integer("n", most=10)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "invalid_query", "n")


def test_what_is_needed() -> None:
    with pytest.raises(ApiError, match="n is needed"):
        Query(b"").needed("n")


def test_values_that_are_not_allowed() -> None:
    with pytest.raises(ApiError, match="one must be one of a, b"):
        Query(b"one=c").one("one", ("b", "a"))
    with pytest.raises(ApiError, match="many must hold some of a, b"):
        Query(b"many=a&many=c").many("many", ("b", "a"))
    with pytest.raises(ApiError, match="repeated"):
        Query(b"one=c&one=c").one("one")


def test_fields_that_nobody_asked_for() -> None:
    query = Query(b"known=1&secret-typo=2")
    query.one("known")
    with pytest.raises(ApiError, match="1 fields that are not known; this endpoint takes known") as refused:
        query.end()
    assert "secret-typo" not in refused.value.message
    with pytest.raises(ApiError, match="takes no fields"):
        Query(b"x=1").end()


def test_pages() -> None:
    objects = [{"id": name} for name in "abcde"]
    assert Page(Query(b"limit=2")).of(objects) == {"object": "list", "data": objects[:2], "first_id": "a", "last_id": "b", "has_more": True}
    assert Page(Query(b"limit=2&after=c")).of(objects)["data"] == objects[3:]
    assert Page(Query(b"limit=2&after=c")).of(objects)["has_more"] is False
    assert Page(Query(b"order=desc&limit=1"), orders=True).of(objects)["data"] == objects[4:]
    with pytest.raises(ApiError, match="after names nothing"):
        Page(Query(b"after=z")).of(objects)


@pytest.mark.parametrize("raw", [b"\xff", b"a=%ff", b"&".join([b"a=1"] * (MAX_FIELDS + 1))])
def test_what_is_no_query_string(raw: bytes) -> None:
    with pytest.raises(ApiError, match="can't be read"):
        Query(raw)


@given(st.binary(max_size=100))
def test_only_our_own_error_leaves(raw: bytes) -> None:
    try:
        query = Query(raw)
        query.many("a")
        query.end()
    except ApiError as refused:
        status = refused.status
    else:
        status = 200
    assert status in (200, 400)
