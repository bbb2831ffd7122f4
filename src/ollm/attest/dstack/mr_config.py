"""MRCONFIGID as dstack uses it: the host says before the start what the guest may run, and the guest stops when it is something else.

So it is a second witness of what the event log proves, and true only of an operating system that is known. 48 bytes:

    zero                                          unset
    01 | compose hash 32 | zeros 15
    02 | Keccak-256(compose hash 32 | app id 20 | key provider u8 | key provider id) 32 | zeros 15
    03 | SHA-256("dstack-mr-config-v3:" | 00 | document) 32 | zeros 15

Key providers: none 0, local-sgx 1, kms 2, tpm 3. The document is JSON, in the member `mr_config` of vm_config; what it leaves out is not
pinned. Everything that the forms name is compared with the boot events of the replayed log.

Source: Dstack-TEE/dstack, dstack-types/src/mr_config.rs and dstack-util/src/system_setup/config_id_verifier.rs.
"""

import hashlib
import re
from typing import TypeVar

import msgspec

from ollm.attest import strict_json
from ollm.attest.dstack.eventlog import RuntimeEvent, boot_payload, boot_payloads
from ollm.attest.dstack.keccak import keccak_256
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

_CHECK = "compose.mr_config_id"
_MAX_CONFIG = 256 * 1024
_HEX = re.compile(r"(?:[0-9a-f]{2}){0,1024}")  # the longest are public keys in DER
_APP_ID = 20
_DOMAIN = b"dstack-mr-config-v3:\x00"
# Name in the event -> number in form 02, name in the document of form 03.
_KEY_PROVIDERS = {"none": (0, "none"), "local-sgx": (1, "local"), "kms": (2, "kms"), "tpm": (3, "tpm")}

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


@resolved
class _KeyProvider(msgspec.Struct, frozen=True):
    """Payload of the event key-provider."""

    name: str
    id: str


@resolved
class _VmConfig(msgspec.Struct, frozen=True):
    mr_config: str | None = None


@resolved
class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What form 03 commits to; values in hex."""

    compose_hash: str
    key_provider: str
    version: int = 3
    app_id: str | None = None
    gpu_policy_hash: str | None = None
    key_provider_id: str | None = None
    instance_id: str | None = None
    init_script_hashes: tuple[str, ...] | None = None


def check_mr_config_id(mr_config_id: bytes, compose_hash: str, events: tuple[RuntimeEvent, ...], vm_config: str | None) -> None:
    """MRCONFIGID is unset, or states what `events` of the replayed log say. Raises: EvidenceRefused with compose.mr_config_id."""
    if not any(mr_config_id):
        return
    form = mr_config_id[0]
    if form == 1:
        wanted = bytes.fromhex(compose_hash)
    elif form == 2:
        wanted = _form_2(compose_hash, events)
    elif form == 3:
        wanted = _form_3(compose_hash, events, vm_config)
    else:
        raise EvidenceRefused(_CHECK, f"MRCONFIGID of form {form:02x}", "unset, or one of dstack's forms 01 to 03")
    if mr_config_id[1:] != wanted + bytes(15):
        raise EvidenceRefused(_CHECK, mr_config_id.hex(), f"{form:02x}{wanted.hex()} and zeros")


def _form_2(compose_hash: str, events: tuple[RuntimeEvent, ...]) -> bytes:
    number, _, provider_id = _key_provider(events)
    app_id = boot_payload(events, "app-id", _CHECK)
    if len(app_id) != _APP_ID:
        raise EvidenceRefused(_CHECK, f"an app id of {len(app_id)} bytes", str(_APP_ID))
    return keccak_256(bytes.fromhex(compose_hash) + app_id + bytes([number]) + bytes.fromhex(provider_id))


def _form_3(compose_hash: str, events: tuple[RuntimeEvent, ...], vm_config: str | None) -> bytes:
    text = _decode(vm_config, _VmConfig, "vm_config").mr_config if vm_config is not None else None
    if text is None:
        raise EvidenceRefused(_CHECK, "MRCONFIGID of form 03 without its document", "the member mr_config of vm_config")
    document = _decode(text, _Document, "mr_config")
    _, provider, provider_id = _key_provider(events)
    pairs: tuple[tuple[str, object, object], ...] = (
        ("version", document.version, 3),
        ("compose_hash", document.compose_hash, compose_hash),
        ("key_provider", document.key_provider, provider),
        ("key_provider_id", document.key_provider_id, provider_id),
        ("app_id", document.app_id, _hexes(events, "app-id")),
        ("instance_id", document.instance_id, _hexes(events, "instance-id")),
        ("gpu_policy_hash", document.gpu_policy_hash, _hexes(events, "gpu-policy-hash")),
        ("init_script_hashes", document.init_script_hashes, tuple(payload.hex() for payload in boot_payloads(events, "init-script-hash"))),
    )
    for name, stated, measured in pairs:
        if stated is not None and stated != measured:
            raise EvidenceRefused(_CHECK, f"an mr_config with another {name}", "what the replayed log says")
    return hashlib.sha256(_DOMAIN + strict_json.encoded(text, _CHECK)).digest()


def _key_provider(events: tuple[RuntimeEvent, ...]) -> tuple[int, str, str]:
    """Number, name and hex id of the boot event key-provider."""
    found = _decode(boot_payload(events, "key-provider", _CHECK), _KeyProvider, "key-provider")
    if found.name not in _KEY_PROVIDERS or not _HEX.fullmatch(found.id):
        raise EvidenceRefused(_CHECK, f"key provider {found.name[:40]!a}", f"one of {', '.join(_KEY_PROVIDERS)}, with an id in hex")
    number, name = _KEY_PROVIDERS[found.name]
    return number, name, found.id


def _hexes(events: tuple[RuntimeEvent, ...], name: str) -> str | None:
    """Hex payload of the boot event `name`, None when there is not exactly one."""
    payloads = boot_payloads(events, name)
    return payloads[0].hex() if len(payloads) == 1 else None


def _decode(text: str | bytes, kind: type[_Struct], what: str) -> _Struct:
    try:
        return msgspec.convert(strict_json.parse(text, limit=_MAX_CONFIG, check=_CHECK), kind)
    except msgspec.ValidationError:
        raise EvidenceRefused(_CHECK, f"{what} that is not dstack's", "JSON with dstack's members") from None
