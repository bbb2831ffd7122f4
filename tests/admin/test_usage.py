"""Usage and costs in OpenAI's shapes, to the token and to the micro-unit."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ollm.admin.reporting import KINDS
from tests.admin.conftest import Plane
from tests.admin.spent import DAY, KEYS, START, spent_plane
from tests.standing import standing

END = START + 3 * DAY


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(spent_plane(folder)) as running_plane:
            yield running_plane
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def results(plane: Plane, path: str) -> list[list[dict[str, Any]]]:
    """Results of each bucket."""
    return [bucket["results"] for bucket in plane.get(f"{path}&end_time={END}")["data"]]


def test_completions_through_openais_client(plane: Plane) -> None:
    page = plane.client("viewer").admin.organization.usage.completions(start_time=START, end_time=END)
    assert (page.object, page.has_more, page.next_page) == ("page", False, None)
    assert [(bucket.start_time, bucket.end_time) for bucket in page.data] == [(START + day * DAY, START + (day + 1) * DAY) for day in range(3)]
    assert [len(bucket.results) for bucket in page.data] == [1, 0, 0]
    result = page.data[0].results[0]
    assert result.object == "organization.usage.completions.result"
    assert result.num_model_requests == 3  # the refused one reached nobody
    assert result.input_tokens == 2 * 25 + 1
    assert result.input_cached_tokens == 8
    assert result.input_cache_write_tokens == 6
    assert result.input_uncached_tokens == 2 * 18 + 1
    assert result.input_audio_tokens == 6
    assert result.input_image_tokens == 10
    assert result.output_tokens == 2 * 15
    assert result.output_audio_tokens == 4
    assert result.model is None


def test_parts_add_up(plane: Plane) -> None:
    (result,) = results(plane, f"/usage/completions?start_time={START}")[0]
    assert result["input_tokens"] == result["input_uncached_tokens"] + result["input_cached_tokens"] + result["input_cache_write_tokens"]
    assert result["output_tokens"] == result["output_text_tokens"] + result["output_audio_tokens"] + result["output_image_tokens"]
    assert result["num_estimated_requests"] == 1


def test_groups_and_filters(plane: Plane) -> None:
    page = plane.client().admin.organization.usage.completions(start_time=START, end_time=END, group_by=["project_id", "model"])
    found = {(result.project_id, result.model): result.num_model_requests for result in page.data[0].results}  # type: ignore[union-attr]
    assert found == {("proj_one", "small"): 2, ("proj_two", "acme/large-1"): 1}
    usage = f"/usage/completions?start_time={START}"
    assert [row["api_key_id"] for row in results(plane, f"{usage}&group_by=api_key_id&project_ids[]=proj_two")[0]] == [KEYS[1]]
    assert results(plane, f"{usage}&api_key_ids={KEYS[0]}&models=small")[0][0]["num_model_requests"] == 2
    assert results(plane, f"{usage}&models=none") == [[], [], []]
    assert [row["upstream"] for row in results(plane, f"{usage}&group_by=upstream&group_by=level")[0]] == ["acme"]


def test_narrower_buckets(plane: Plane) -> None:
    hours = plane.get(f"/usage/completions?start_time={START}&end_time={START + 2 * 3600}&bucket_width=1h")["data"]
    assert [sum(row["num_model_requests"] for row in bucket["results"]) for bucket in hours] == [1, 2]
    minutes = plane.get(f"/usage/completions?start_time={START + 3600}&end_time={START + 7200}&bucket_width=1m")["data"]
    assert len(minutes) == 60
    assert [at for at, bucket in enumerate(minutes) if bucket["results"]] == [1, 3]


def test_pages(plane: Plane) -> None:
    first = plane.get(f"/usage/embeddings?start_time={START}&end_time={END}&limit=2")
    assert (len(first["data"]), first["has_more"], first["next_page"]) == (2, True, f"page_{START + 2 * DAY}")
    last = plane.get(f"/usage/embeddings?start_time={START}&end_time={END}&limit=2&page={first['next_page']}")
    assert (len(last["data"]), last["has_more"], last["next_page"]) == (1, False, None)
    assert last["data"][0]["results"][0]["input_tokens"] == 9


def test_times_between_the_borders_of_buckets_take_the_whole_bucket(plane: Plane) -> None:
    found = plane.get(f"/usage/completions?start_time={START + 5000}&end_time={START + 6000}")["data"]
    assert [(bucket["start_time"], bucket["end_time"]) for bucket in found] == [(START, START + DAY)]
    assert found[0]["results"][0]["num_model_requests"] == 3


def test_without_an_end_it_is_until_now(plane: Plane) -> None:
    assert plane.get(f"/usage/completions?start_time={START}")["has_more"]


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        ("embeddings", {"input_tokens": 9}),
        ("moderations", {"input_tokens": 3}),
        ("images", {"images": 2, "output_tokens": 30}),
        ("audio_speeches", {"characters": 44}),
        ("audio_transcriptions", {"seconds": 2}),
        ("rerank", {"input_tokens": 8}),
    ],
)
def test_other_kinds(plane: Plane, kind: str, figures: dict[str, int]) -> None:
    (result,) = results(plane, f"/usage/{kind}?start_time={START}")[2]
    assert result["object"] == f"organization.usage.{kind}.result"
    assert result["num_model_requests"] == 1
    assert {name: result[name] for name in figures} == figures


def test_every_kind_of_openais_client_is_read_by_it(plane: Plane) -> None:
    usage = plane.client().admin.organization.usage
    for kind in set(KINDS) - {"rerank"}:
        page = getattr(usage, kind)(start_time=START, end_time=END)
        assert {result.object for bucket in page.data for result in bucket.results} == {f"organization.usage.{kind}.result"}


def test_costs_through_openais_client(plane: Plane) -> None:
    page = plane.client("viewer").admin.organization.usage.costs(start_time=START, end_time=END)
    amounts = [result.amount for bucket in page.data for result in bucket.results]  # type: ignore[union-attr]
    assert [(amount.value, amount.currency) for amount in amounts if amount is not None] == [(0.000101, "usd"), (2.500058, "usd")]
    assert [result["amount_micro"] for bucket in results(plane, f"/costs?start_time={START}") for result in bucket] == [101, 2_500_058]


def test_a_price_that_is_not_known_is_no_zero(plane: Plane) -> None:
    rows = results(plane, f"/costs?start_time={START}&group_by=line_item")[0]
    found = {row["line_item"]: (row["amount_micro"], row["num_unpriced_requests"]) for row in rows}
    assert found == {"small": (101, 0), "acme/large-1": (0, 1)}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "start_time=x",
        "start_time=2000&end_time=1000",
        f"start_time={START}&bucket_width=1w",
        f"start_time={START}&group_by=prompt",
        f"start_time={START}&limit=32",
        f"start_time={START}&batch=true",  # nothing here is a batch
        f"start_time={START}&page=x",
        f"start_time={START}&page=page_7",
        f"start_time={START}&page=page_{START}",
        f"start_time={START}&end_time={END}&page=page_{END}",
    ],
)
def test_questions_that_have_no_answer(plane: Plane, query: str) -> None:
    plane.refused("GET", f"/usage/completions?{query}", 400, "invalid_query")


def test_costs_are_by_the_day(plane: Plane) -> None:
    plane.refused("GET", f"/costs?start_time={START}&bucket_width=1h", 400, "invalid_query")
    assert plane.get(f"/costs?start_time={START}&limit=180")["has_more"] is True
