"""What is configured, to look at: names and levels, and nothing that would help to get in."""

from tests.admin.conftest import Plane


def test_routes_and_providers(plane: Plane) -> None:
    routes = plane.get("/routes")["data"]
    assert routes[0] == {
        "id": "small",
        "object": "organization.route",
        "aliases": ["little"],
        "choose": "order",
        "upstreams": [{"id": "acme", "level": "zdr"}, {"id": "other", "level": "zdr"}],
        "priced": True,
    }
    assert [(route["id"], route["priced"]) for route in routes] == [("small", True), ("acme/large-1", False)]
    providers = plane.get("/providers")["data"]
    shown = {"id": "acme", "object": "organization.provider", "adapter": "openai", "level": "zdr", "policy": None, "region": "DE"}
    assert providers[0] == shown
    assert plane.get("/providers?limit=1&after=acme")["data"][0]["id"] == "other"


def test_policies(plane: Plane) -> None:
    shown = plane.get("/policies")
    assert (shown["data"], shown["floor"], shown["config_digest"]) == ([], "tee", plane.loaded.digest)


def test_no_address_and_no_credential(plane: Plane) -> None:
    for path in ("/routes", "/providers", "/policies"):
        text = plane.ask("GET", path).text
        assert "https://" not in text
        assert "api_key" not in text
