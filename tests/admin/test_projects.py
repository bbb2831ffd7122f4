"""Projects and the organisation: names, terms, rate limits, budgets."""

import pytest
from openai import BadRequestError, NotFoundError

from tests.admin.conftest import Plane


def test_a_projects_life_through_openais_client(plane: Plane) -> None:
    projects = plane.client().admin.organization.projects
    made = projects.create(name="Pay roll")
    assert (made.object, made.name, made.status, made.archived_at) == ("organization.project", "Pay roll", "active", None)
    assert made.id.startswith("proj_")
    assert projects.update(made.id, name="Wages").name == "Wages"
    assert projects.retrieve(made.id).name == "Wages"
    archived = projects.archive(made.id)
    assert (archived.status, archived.archived_at is not None) == ("archived", True)
    assert made.id not in [each.id for each in projects.list(limit=100)]
    assert made.id in [each.id for each in projects.list(limit=100, include_archived=True)]
    assert plane.actions()[:3] == ["project.archived", "project.updated", "project.created"]


def test_lists_come_in_pages(plane: Plane) -> None:
    made = [plane.post("/projects", {"name": f"Page {number}"})["id"] for number in range(5)]
    listed = [each.id for each in plane.client().admin.organization.projects.list(limit=2)]
    assert set(made) < set(listed)
    assert len(set(listed)) == len(listed)
    assert [each["id"] for each in plane.get("/projects?limit=100")["data"]] == listed
    first = plane.get("/projects?limit=2")
    assert (first["object"], first["has_more"], len(first["data"])) == ("list", True, 2)
    assert (first["first_id"], first["last_id"]) == (first["data"][0]["id"], first["data"][1]["id"])
    last = plane.get(f"/projects?after={listed[-1]}")
    assert (last["data"], last["has_more"], last["first_id"]) == ([], False, None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "after=proj_none", "surprise=1", "limit=1&limit=2", "include_archived=yes", "%ff=%fe"]
)
def test_queries_that_can_not_be_followed(plane: Plane, query: str) -> None:
    plane.refused("GET", f"/projects?{query}", 400, "invalid_query")


@pytest.mark.parametrize("name", ["", "x" * 65, "naïve", "a\nb", "name\n", " a", 5, None])
def test_names_that_are_none(plane: Plane, name: object) -> None:
    plane.refused("POST", "/projects", 400, "invalid_request", {"name": name})


def test_unknown_members_are_refused(plane: Plane) -> None:
    message = plane.refused("POST", "/projects", 400, "invalid_request", {"name": "x", "geography": "EU"})
    assert "geography" in message
    with pytest.raises(BadRequestError):
        plane.client().admin.organization.projects.create(name="x", geography="EU")


def test_what_is_not_there(plane: Plane) -> None:
    with pytest.raises(NotFoundError):
        plane.client().admin.organization.projects.retrieve("proj_none")
    plane.refused("POST", "/projects/proj_none/archive", 404, "not_found")
    plane.refused("GET", "/projects/proj_none/terms", 404, "not_found")
    plane.refused("POST", "/projects/proj_default/archive", 400, "change_refused")


def test_an_archived_project_stays_as_it_is(plane: Plane, project: str) -> None:
    plane.post(f"/projects/{project}/archive")
    assert "archived" in plane.refused("POST", f"/projects/{project}", 400, "change_refused", {"name": "Other"})
    plane.refused("POST", f"/projects/{project}/terms", 400, "change_refused", {})
    plane.refused("POST", f"/projects/{project}/api_keys", 400, "change_refused", {"name": "app"})


def test_terms_take_the_place_of_those_before(plane: Plane, project: str) -> None:
    terms = {"models": ["small"], "require": "tee", "networks": ["10.0.0.0/8"], "max_request_micro": 5}
    assert plane.post(f"/projects/{project}/terms", terms) == terms
    assert plane.get(f"/projects/{project}/terms") == terms
    assert plane.get(f"/projects/{project}")["terms"] == terms
    assert plane.post(f"/projects/{project}/terms", {"models": []}) == {"models": []}
    (event,) = plane.get("/audit_logs?limit=1")["data"]
    assert event["project.terms.updated"] == {"id": project, "changes_requested": {"terms": {"models": []}}}


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        ({"models": ["smal"]}, "smal"),
        ({"models": ["little"]}, "little"),  # an alias is no name
        ({"upstreams": ["acme", "acne"]}, "acne"),
        ({"endpoints": ["chat.completion"]}, "chat.completion"),
        ({"rules": ["cards"]}, "cards"),
        ({"limits": [{"model": "larg", "parallel": 1}]}, "larg"),
        ({"limits": [{"parallel": 1}, {"requests_per_day": 1}]}, "more than once"),
        ({"limits": [{}]}, "limits nothing"),
        ({"budgets": [{"limit_micro": 1}, {"limit_micro": 2}]}, "more than once"),
        ({"networks": ["10.0.0.0/99"]}, "10.0.0.0/99"),
        ({"networks": ["10.0.0.1/8"]}, "10.0.0.1/8"),
    ],
)
def test_terms_that_refer_to_nothing_are_refused_with_the_name(plane: Plane, project: str, terms: object, names: str) -> None:
    assert names in plane.refused("POST", f"/projects/{project}/terms", 400, "unknown_reference", terms)
    assert names in plane.refused("POST", "/terms", 400, "unknown_reference", terms)
    assert names in plane.refused("POST", "/projects", 400, "unknown_reference", {"name": "x", "terms": terms})
    assert names in plane.refused("POST", f"/projects/{project}/api_keys", 400, "unknown_reference", {"name": "x", "terms": terms})
    assert plane.get(f"/projects/{project}/terms") == {}


@pytest.mark.parametrize("terms", [{"surprise": 1}, {"require": "trust-me"}, {"limits": [{"parallel": -1}]}, {"models": "small"}, [], "text"])
def test_terms_of_another_form(plane: Plane, project: str, terms: object) -> None:
    plane.refused("POST", f"/projects/{project}/terms", 400, "invalid_request", terms)


def test_rate_limits_through_openais_client(plane: Plane, project: str) -> None:
    limits = plane.client().admin.organization.projects.rate_limits
    made = limits.update_rate_limit("rl_small", project_id=project, max_requests_per_1_minute=60, max_tokens_per_1_minute=0)
    assert (made.object, made.id, made.model) == ("project.rate_limit", "rl_small", "small")
    assert (made.max_requests_per_1_minute, made.max_tokens_per_1_minute, made.max_requests_per_1_day) == (60, 0, None)
    limits.update_rate_limit("rl_small", project_id=project, max_requests_per_1_day=1000)
    (listed,) = list(limits.list_rate_limits(project))
    assert (listed.max_requests_per_1_minute, listed.max_requests_per_1_day) == (60, 1000)
    assert plane.actions()[0] == "rate_limit.updated"


def test_rate_limits_of_all_models_and_of_models_with_a_slash(plane: Plane, project: str) -> None:
    path = f"/projects/{project}/rate_limits"
    assert plane.post(f"{path}/rl_*", {"max_parallel_requests": 4})["model"] == "*"
    assert plane.post(f"{path}/rl_acme/large-1", {"max_tokens_per_1_day": 9})["model"] == "acme/large-1"
    assert plane.post(f"{path}/rl_acme%2Flarge-1", {"max_requests_per_1_day": 9})["max_tokens_per_1_day"] == 9
    terms = plane.get(f"/projects/{project}/terms")
    assert terms == {"limits": [{"parallel": 4}, {"model": "acme/large-1", "requests_per_day": 9, "tokens_per_day": 9}]}
    assert plane.delete(f"{path}/rl_*") == {"id": "rl_*", "object": "project.rate_limit.deleted", "deleted": True}
    assert [limit["id"] for limit in plane.get(path)["data"]] == ["rl_acme/large-1"]
    plane.refused("DELETE", f"{path}/rl_*", 404, "not_found")


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("rl_smal", {"max_requests_per_1_minute": 1}, 400, "unknown_reference"),
        ("small", {"max_requests_per_1_minute": 1}, 404, "not_found"),
        ("rl_", {"max_requests_per_1_minute": 1}, 404, "not_found"),
        ("rl_small", {}, 400, "unknown_reference"),
        ("rl_small", {"max_requests_per_1_minute": None}, 400, "unknown_reference"),
        ("rl_small", {"max_images_per_1_minute": 1}, 400, "invalid_request"),  # nothing here counts them
        ("rl_small", {"max_requests_per_1_minute": -1}, 400, "invalid_request"),
    ],
)
def test_rate_limits_that_limit_nothing(plane: Plane, project: str, name: str, body: object, status: int, code: str) -> None:
    plane.refused("POST", f"/projects/{project}/rate_limits/{name}", status, code, body)
    assert plane.get(f"/projects/{project}/rate_limits")["data"] == []


def test_budgets(plane: Plane, project: str) -> None:
    plane.post(f"/projects/{project}/terms", {"models": ["small"]})
    budgets = [{"limit_micro": 5_000_000}, {"limit_micro": 1_000_000, "window": "day", "alerts": [50, 90]}]
    shown = plane.post(f"/projects/{project}/budgets", {"budgets": budgets})["data"]
    assert [(each["id"], each["object"], each["limit_micro"], each["window"]) for each in shown] == [
        ("budget_month", "project.budget", 5_000_000, "month"),
        ("budget_day", "project.budget", 1_000_000, "day"),
    ]
    assert plane.get(f"/projects/{project}/budgets")["data"] == shown
    assert plane.get(f"/projects/{project}/terms")["models"] == ["small"]
    assert plane.actions()[0] == "budget.updated"
    assert plane.post(f"/projects/{project}/budgets", {"budgets": []})["data"] == []


def test_the_organisation(plane: Plane) -> None:
    assert plane.post("", {"name": "Acme"})["name"] == "Acme"
    assert plane.post("/terms", {"models": ["small"]}) == {"models": ["small"]}
    shown = plane.get("")
    assert (shown["object"], shown["id"], shown["name"], shown["terms"]) == ("organization", "org_default", "Acme", {"models": ["small"]})
    assert plane.post("/terms", {}) == {}
