"""MRCONFIGID: each of dstack's forms agrees with the replayed log, or is refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.attest.dstack.keccak import keccak_256
from ollm.attest.dstack.mr_config import check_mr_config_id
from ollm.errors import EvidenceRefused
from tests.attest.service import refused_check

COMPOSE, APP, INSTANCE, POLICY, SCRIPT, KMS = "c0" * 32, "a0" * 20, "15" * 20, "90" * 32, "5c" * 32, "3059301306072a8648ce3d0201"


def log(**changed: bytes | None) -> tuple[RuntimeEvent, ...]:
    """A boot with a key service; `changed` replaces a payload, or leaves the event out."""
    events = {
        "app-id": bytes.fromhex(APP),
        "compose-hash": bytes.fromhex(COMPOSE),
        "init-script-hash": bytes.fromhex(SCRIPT),
        "gpu-policy-hash": bytes.fromhex(POLICY),
        "instance-id": bytes.fromhex(INSTANCE),
        "key-provider": json.dumps({"name": "kms", "id": KMS}).encode(),
    }
    payloads = events | {name.replace("_", "-"): payload for name, payload in changed.items()}
    return (*(RuntimeEvent(name, payload) for name, payload in payloads.items() if payload is not None), RuntimeEvent("system-ready", b""))


def provider(name: str, id: str = "") -> bytes:
    return json.dumps({"name": name, "id": id}).encode()


def form_1(compose_hash: str = COMPOSE) -> bytes:
    return b"\x01" + bytes.fromhex(compose_hash) + bytes(15)


def form_2(number: int = 2, id: str = KMS) -> bytes:
    return b"\x02" + keccak_256(bytes.fromhex(COMPOSE + APP) + bytes([number]) + bytes.fromhex(id)) + bytes(15)


DOCUMENT = {
    "app_id": APP,
    "compose_hash": COMPOSE,
    "gpu_policy_hash": POLICY,
    "init_script_hashes": [SCRIPT],
    "instance_id": INSTANCE,
    "key_provider": "kms",
    "key_provider_id": KMS,
    "version": 3,
}


def form_3(document: object = DOCUMENT) -> tuple[bytes, str]:
    """MRCONFIGID and the vm_config with its document."""
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    digest = hashlib.sha256(b"dstack-mr-config-v3:\x00" + text.encode()).digest()
    return b"\x03" + digest + bytes(15), json.dumps({"spec_version": 1, "mr_config": text})


def refused(match: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == "compose.mr_config_id")


def check(value: bytes, events: tuple[RuntimeEvent, ...] | None = None, vm_config: str | None = None) -> None:
    check_mr_config_id(value, COMPOSE, log() if events is None else events, vm_config)


def test_unset_contradicts_nothing() -> None:
    check(bytes(48), ())


@pytest.mark.parametrize("value", [b"\x00" * 47 + b"\x01", b"\x04" + bytes(47), b"\xff" * 48])
def test_forms_that_dstack_does_not_define_are_refused_by_name(value: bytes) -> None:
    with refused(f"MRCONFIGID of form {value[0]:02x}"):
        check(value)


def test_form_1_is_the_compose_hash() -> None:
    check(form_1(), ())


@pytest.mark.parametrize("value", [form_1("00" * 32), form_1()[:-1] + b"\x01"])
def test_form_1_of_another_compose_file_is_refused(value: bytes) -> None:
    with refused("and zeros"):
        check(value)


@pytest.mark.parametrize(("name", "number", "id"), [("none", 0, ""), ("local-sgx", 1, "ab"), ("kms", 2, KMS), ("tpm", 3, "")])
def test_form_2_commits_to_application_and_key_provider(name: str, number: int, id: str) -> None:
    check(form_2(number, id), log(key_provider=provider(name, id)))


@pytest.mark.parametrize(
    "events",
    [
        log(app_id=bytes(20)),
        log(key_provider=provider("kms", "ab")),
        log(key_provider=provider("none", KMS)),
    ],
    ids=["app id", "provider's id", "provider"],
)
def test_form_2_of_something_else_is_refused(events: tuple[RuntimeEvent, ...]) -> None:
    with refused("and zeros"):
        check(form_2(), events)


@pytest.mark.parametrize(
    ("events", "match"),
    [
        (log(app_id=None), "0 app-id events"),
        (log(key_provider=None), "0 key-provider events"),
        (log(key_provider=b""), "no JSON"),
        (log(key_provider=b"[]"), "key-provider that is not dstack's"),
        (log(key_provider=provider("vault")), "key provider 'vault'"),
        (log(key_provider=provider("kms", "AB")), "key provider 'kms'"),
        (log(key_provider=provider("kms", "ab" * 1025)), "key provider 'kms'"),
        (log(app_id=bytes(21)), "app id of 21 bytes"),
    ],
)
def test_form_2_without_what_it_commits_to_is_refused(events: tuple[RuntimeEvent, ...], match: str) -> None:
    with refused(match):
        check(form_2(), events)


def test_form_3_commits_to_a_document() -> None:
    value, vm_config = form_3()

    check(value, vm_config=vm_config)


def test_what_the_document_of_form_3_leaves_out_is_not_pinned() -> None:
    value, vm_config = form_3({"compose_hash": COMPOSE, "key_provider": "local"})

    check(value, log(key_provider=provider("local-sgx", "ab"), gpu_policy_hash=None, instance_id=None), vm_config)


def test_an_empty_list_of_scripts_wants_none() -> None:
    value, vm_config = form_3(DOCUMENT | {"init_script_hashes": []})

    check(value, log(init_script_hash=None), vm_config)
    with refused("init_script_hashes"):
        check(value, log(), vm_config)


@pytest.mark.parametrize(
    ("member", "stated"),
    [
        ("version", 2),
        ("compose_hash", "00" * 32),
        ("compose_hash", COMPOSE.upper()),
        ("key_provider", "none"),
        ("key_provider_id", ""),
        ("app_id", "00" * 20),
        ("instance_id", "00" * 20),
        ("gpu_policy_hash", "00" * 32),
        ("init_script_hashes", [SCRIPT, SCRIPT]),
    ],
)
def test_a_document_that_contradicts_the_log_is_refused(member: str, stated: object) -> None:
    value, vm_config = form_3(DOCUMENT | {member: stated})

    with refused(f"another {member}"):
        check(value, vm_config=vm_config)


def test_what_a_document_pins_must_be_in_the_log() -> None:
    value, vm_config = form_3()

    with refused("another gpu_policy_hash"):
        check(value, log(gpu_policy_hash=None), vm_config)


def test_another_document_than_the_one_committed_to_is_refused_the_same_written_again_too() -> None:
    value, _ = form_3()
    _, vm_config = form_3(json.dumps(DOCUMENT))

    with refused("and zeros"):
        check(value, vm_config=vm_config)


@pytest.mark.parametrize(
    ("vm_config", "match"),
    [
        (None, "without its document"),
        ("{}", "without its document"),
        ("", "no JSON"),
        ("[]", "vm_config that is not dstack's"),
        ('{"mr_config":{}}', "vm_config that is not dstack's"),
        ('{"mr_config":""}', "no JSON"),
        ('{"mr_config":"[]"}', "mr_config that is not dstack's"),
        (form_3(DOCUMENT | {"unknown": 1})[1], "mr_config that is not dstack's"),
        ('{"mr_config":"{}","mr_config":"{}"}', "a member name twice"),
        ('{"x":"' + "y" * 300_000 + '"}', "at most"),
    ],
)
def test_form_3_without_a_readable_document_is_refused(vm_config: str | None, match: str) -> None:
    with refused(match):
        check(form_3()[0], vm_config=vm_config)


_TEXT = st.text(max_size=99) | st.sampled_from([form_3()[1], form_3()[1].replace("compose_hash", "c"), "{}", '{"mr_config":"{"}'])


@given(st.sampled_from([form_1(), form_2(), form_3()[0]]), _TEXT, st.binary(max_size=99) | _TEXT.map(lambda text: text.encode("utf-8", "replace")))
def test_only_our_refusal_escapes_for_any_words(value: bytes, vm_config: str, payload: bytes) -> None:
    assert refused_check(lambda: check(value, log(key_provider=payload), vm_config)) in (None, "compose.mr_config_id")
