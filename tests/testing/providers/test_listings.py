"""The made-up lists are read as their providers' are; by which form, tests/upstream/test_catalogue.py shows."""

import json

from ollm.testing.providers import listings
from ollm.upstream.near import CLOUD_LIST
from ollm.wire.catalogue import Form, read


def test_lists_hold_what_they_were_asked_for() -> None:
    assert [offer.id for offer in read(Form(), listings.engine("a/b")).offers] == ["a/b"]
    assert [offer.id for offer in read(Form(), listings.per_token("a", "b")).offers] == ["a", "b"]
    assert read(Form(serves="chute_id"), listings.chutes("c-1")).offers[0].serves == "c-1"


def test_a_page_begins_where_it_is_asked_to() -> None:
    page = read(CLOUD_LIST.form, listings.near_cloud({"limit": "2", "offset": "3"}), 3)
    assert ([offer.id for offer in page.offers], page.more) == (["maker/model-3", "maker/model-4"], False)
    assert len(json.loads(listings.near_cloud({}))["models"]) == 5
