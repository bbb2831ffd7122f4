"""What callers may know of themselves."""

import pytest

from ollm.store.keys import parse_key
from ollm.values.identity import Role
from ollm.values.level import Level
from ollm.values.terms import Budget, Limit, Terms
from tests.stage import MODEL, Stage, chat_body, error_of
from tests.store.making import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def headers_of(stage: Stage, terms: Terms = Terms(), role: Role = Role.MEMBER) -> dict[str, str]:  # noqa: B008 - frozen
    text = await stage.new_key(terms=terms, role=role)
    parsed = parse_key(text)
    assert parsed is not None
    await eventually(lambda: stage.gateway.keys.lookup(parsed[0]) is not None)
    return {"authorization": f"Bearer {text}"}


async def test_a_key_knows_what_it_may_do_and_what_is_left(shared: Stage) -> None:
    limits = (Limit(requests_per_day=10), Limit(model=MODEL, parallel=3), Limit(model="unpriced", tokens_per_minute=5))
    terms = Terms(models=(MODEL, "unpriced"), require=Level.ZDR, limits=limits, budgets=(Budget(limit_micro=10**6, window="week"),))
    key = (await shared.http.get("/v1/key", headers=await headers_of(shared, terms))).json()
    assert (key["object"], key["role"], key["project_id"], key["organization_id"]) == ("key", "member", "proj_default", "org_default")
    assert (key["require"], key["models"], key["providers"]) == ("zdr", sorted((MODEL, "unpriced")), None)
    assert {(limit["of"], limit["model"], limit["window"], limit["limit"], limit["used"]) for limit in key["limits"]} == {
        ("requests", None, "day", 10, 0),
        ("parallel", MODEL, None, 3, 0),
        ("tokens", "unpriced", "minute", 5, 0),
    }
    (budget,) = key["budgets"]
    assert (budget["window"], budget["limit_micro"], budget["remaining_micro"]) == ("week", 10**6, 10**6)


async def test_a_member_sees_its_own_requests_and_a_reader_those_of_its_project(shared: Stage) -> None:
    mine, other = await headers_of(shared), await headers_of(shared)
    for headers in (mine, mine, other):
        assert (await shared.http.post("/v1/chat/completions", content=chat_body(), headers=headers)).status_code == 200

    async def requests(headers: dict[str, str], query: str = "") -> int:
        page = (await shared.http.get(f"/v1/usage?{query}", headers=headers)).json()
        return sum(result["requests"] for bucket in page["data"] for result in bucket["results"])

    assert await requests(mine) == 2
    assert await requests(other, "bucket_width=1m&group_by=model,provider") == 1
    assert await requests(await headers_of(shared, role=Role.VIEWER)) >= 3


@pytest.mark.parametrize(
    "query", ["surprise=1", "bucket_width=1y", "group_by=prompt", "start_time=x", "start_time=172800&end_time=5", "end_time=" + "9" * 30]
)
async def test_questions_that_cannot_be_followed(query: str, shared: Stage) -> None:
    refused = await shared.http.get(f"/v1/usage?{query}")
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_query")
