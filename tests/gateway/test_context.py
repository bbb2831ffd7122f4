"""Everything that the request path is given shows none of it, and can't be changed while requests run."""

import pickle

import msgspec
import pytest
from rich.pretty import pretty_repr

from ollm.app.build import level_of
from ollm.config.settings import ModelSettings
from ollm.gateway.context import names_of
from ollm.traffic.breaker import State
from tests.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_shows_nothing(shared: Stage) -> None:
    gateway = shared.gateway
    shown = [repr(gateway), str(gateway), f"{gateway}", repr([gateway]), pretty_repr(gateway), pretty_repr({"gateway": gateway})]
    for text in shown:
        assert len(text) < 40 and "Gateway" in text
        assert gateway.pepper.hex() not in text and repr(gateway.pepper)[2:-1] not in text
        assert gateway.config_digest not in text


async def test_it_does_not_change(shared: Stage) -> None:
    for name in shared.gateway.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(shared.gateway, name, None)


async def test_it_can_not_be_carried_away(shared: Stage) -> None:
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(shared.gateway)


async def test_every_route_has_its_keeper_and_its_level(shared: Stage) -> None:
    gateway = shared.gateway
    assert set(gateway.keepers) == set(gateway.levels) == set(gateway.settings.upstreams)
    for name in gateway.settings.upstreams:
        assert gateway.keepers[name].name == name
        assert gateway.levels[name] is level_of(shared.loaded, name)
    assert gateway.keyset_digest == gateway.attestation.headers["x-aci-keyset-digest"]
    assert gateway.config_digest == shared.loaded.digest


async def test_a_model_is_found_by_its_own_name_and_by_its_aliases(shared: Stage) -> None:
    settings = shared.gateway.settings
    models = {"own": ModelSettings(upstreams=("enclave",), aliases=("a", "b"))}
    assert names_of(models) == {"own": "own", "a": "own", "b": "own"}
    gateway = msgspec.structs.replace(shared.gateway, settings=msgspec.structs.replace(settings, models=models), names=names_of(models))
    for name in ("own", "a", "b"):
        assert gateway.model(name) == ("own", models["own"])
    assert gateway.model("other") is None


async def test_what_is_seen_of_a_route(shared: Stage) -> None:
    assert (await shared.chat()).status_code == 200
    seen = shared.gateway.seen("demo", "enclave")
    assert (seen.state, seen.due_in) == (State.CLOSED, 0.0)
    assert seen.first_seconds is not None and seen.first_seconds > 0
    assert shared.gateway.seen("demo", "enclave").tokens_per_second is None, "nothing was streamed"
