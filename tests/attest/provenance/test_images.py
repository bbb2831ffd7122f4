"""The images of a compose file: each told from the text alone, pinned, and built by somebody."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import images
from ollm.testing.mint.provenance import built, verified
from ollm.values.provenance import SigningKey, Subject, VerifiedStatement
from tests.attest.provenance.common import NOW, caught, refusal

ONE, TWO = "1" * 64, "2" * 64
PINNED = f"ghcr.io/example/app:1.2@sha256:{ONE}"
COMPOSE = f"""
x-common: {{restart: always}}
services:
  app:
    image: {PINNED}
    command: [serve]
    volumes:
      - /var/run/dstack.sock:/var/run/dstack.sock
      - {{type: bind, source: /data, target: /data}}
  side:
    image: "other@sha256:{TWO}"
    profiles: [never]
    x-note: says nothing
volumes:
  data:
"""


def app_compose(compose: str = COMPOSE, **members: object) -> str:
    return json.dumps({"manifest_version": 2, "name": "app", "runner": "docker-compose", "docker_compose_file": compose, **members})


def service(text: str) -> str:
    """An app-compose file whose one service is `text`."""
    return app_compose("services:\n  app:\n" + "".join(f"    {line}\n" for line in text.splitlines()))


def vouching(*digests: str, kind: str = images.SLSA_PROVENANCE, by: Any = None) -> VerifiedStatement:
    return verified(kind, {}, NOW, by=by or built(), subjects=[Subject("image", digest) for digest in digests])


def test_each_service_has_its_image_whatever_its_profile() -> None:
    found = images.read(app_compose(allowed_envs=["API_KEY"], pre_launch_script="", init_script="docker run x"))
    assert found.images == (images.ComposeImage("app", PINNED), images.ComposeImage("side", f"other@sha256:{TWO}"))
    assert [image.sha256 for image in found.images] == [ONE, TWO]
    assert found.unjudged == ("init_script",)
    images.check_pinned(found)


@pytest.mark.parametrize("script", ["pre_launch_script", "init_script", "bash_script"])
def test_every_script_of_the_machine_is_named(script: str) -> None:
    assert images.read(app_compose(**{script: "docker run x"})).unjudged == (script,)


@pytest.mark.parametrize("key", ["version", "name", "networks", "volumes", "configs", "secrets"])
def test_what_says_nothing_of_images_may_stand_beside_the_services(key: str) -> None:
    assert len(images.read(app_compose(COMPOSE.replace("\nvolumes:\n  data:", f"\n{key}: x"))).images) == 2


@pytest.mark.parametrize("kind", ["volume", "bind", "tmpfs"])
def test_volumes_that_hold_no_image(kind: str) -> None:
    assert images.read(service(f"image: {PINNED}\nvolumes: [{{type: {kind}, target: /x}}]")).images


@pytest.mark.parametrize(
    "image", ["app", "app:1.2", f"app@sha256:{ONE[1:]}", f"app@sha256:{ONE.replace('1', 'A')}", f"app@sha512:{ONE}", f"@sha256:{ONE}", "1234"]
)
def test_an_image_without_a_digest_is_loose(image: str) -> None:
    refused = refusal(images.check_pinned, images.read(service(f'image: "{image}"')))
    assert refused.check == "provenance.images_pinned"
    assert image in refused.got


@pytest.mark.parametrize(
    "text",
    [
        "build: .",
        f"image: {PINNED}\nbuild: .",
        f"image: {PINNED}\nextends: {{file: other.yaml, service: x}}",
        f"image: {PINNED}\nprovider: {{type: model}}",
        f"image: {PINNED}\nuse_api_socket: true",
        f"image: {PINNED}\npost_start: [{{command: x}}]",
        f"image: {PINNED}\npull_policy: build",
        f"image: {PINNED}\nvolumes: [{{type: image, source: evil, target: /app}}]",
        f"image: {PINNED}\nvolumes: [{{type: '${{X}}', source: evil, target: /app}}]",
        f"image: {PINNED}\nvolumes: x",
        "image: ${IMAGE}",
        f"image: '${{IMAGE:-{PINNED}}}'",
        f"image: app@sha256:${{DIGEST:-{ONE}}}",
        "image: $IMAGE",
        "image: ''",
        "image:",
        f"image: [{PINNED}]",
        f"image: '{PINNED} '",
        "command: x",
        f"<<: {{image: {PINNED}}}",
        f"image: &pinned {PINNED}",
        f"image: !!str {PINNED}",
        f"image: {PINNED}\nimage: evil",
    ],
)
def test_what_lets_something_else_choose_the_image_is_refused(text: str) -> None:
    assert refusal(images.read, service(text)).check == "provenance.compose"


@pytest.mark.parametrize(
    "compose",
    [
        "services: {}",
        "services: []",
        "services: {app: x}",
        "services: {app: }",
        "version: '3'",
        "[]",
        "text",
        f"include: [other.yaml]\nservices: {{app: {{image: '{PINNED}'}}}}",
        f"models: {{m: {{model: ai/x}}}}\nservices: {{app: {{image: '{PINNED}'}}}}",
        "services:\n" + "".join(f"  s{index}: {{image: x}}\n" for index in range(257)),
        f"services: {{app: {{image: '{PINNED}'}}}}\n---\nservices: {{app: {{image: evil}}}}",
    ],
)
def test_a_compose_file_that_can_not_be_judged_is_refused(compose: str) -> None:
    assert refusal(images.read, app_compose(compose)).check == "provenance.compose"


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{}",
        "null",
        "",
        app_compose(runner="bash"),
        app_compose(docker_compose_file=None),
        app_compose(allowed_envs="COMPOSE_FILE"),
        app_compose(allowed_envs=[1]),
        app_compose(allowed_envs=["OK", "COMPOSE_FILE"]),
        app_compose(allowed_envs=["docker_host"]),
        app_compose()[:-1] + ', "docker_compose_file": "services: {}"}',
    ],
)
def test_another_app_compose_file_is_refused(document: str) -> None:
    assert refusal(images.read, document).check == "provenance.compose"


def test_every_image_needs_a_build_that_made_it() -> None:
    found = images.read(app_compose())
    images.check_built(found, [vouching(ONE), vouching("3" * 64, TWO)])
    assert images.without_provenance(found, [vouching(ONE)]) == (images.ComposeImage("side", f"other@sha256:{TWO}"),)
    refused = refusal(images.check_built, found, [vouching(ONE)])
    assert refused.check == "provenance.images"
    assert refused.got.startswith("1 images without provenance: side: other@sha256:")


def test_a_statement_that_is_no_provenance_does_not_say_who_built() -> None:
    found = images.read(app_compose())
    for statement in (vouching(ONE, TWO, kind="https://spdx.dev/Document/v2.3"), vouching(ONE, TWO, by=SigningKey(public_key="aa" * 32))):
        assert len(images.without_provenance(found, [statement])) == 2


def test_a_loose_image_has_no_provenance() -> None:
    assert refusal(images.check_built, images.read(service("image: app:1.2")), [vouching(ONE)]).check == "provenance.images"


_YAML = st.recursive(
    st.text("a$:{}x", max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["services", "app", "image", "volumes", "x-y"]), below),
)


@given(_YAML)
def test_only_a_refusal_escapes(tree: Any) -> None:
    for compose in (json.dumps(tree), str(tree)):
        refused = caught(images.read, app_compose(compose))
        assert refused is None or refused.check == "provenance.compose"
