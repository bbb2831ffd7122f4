"""dstack's app-compose: the file that says which containers run, and its two measurements.

Its hash is SHA-256 of the exact text as served (parsing and writing it again gives another). The guest extends it into RTMR3
as `compose-hash` before any container starts. MRCONFIGID, set by the host and enforced by the guest, may state it again:
zero means unset, 01 is followed by the hash and 15 zeros; 02 and 03 are hashes over more than the compose file.

Source: Dstack-TEE/dstack, dstack-types/src/mr_config.rs.
"""

import hashlib

from ollm.attest import strict_json
from ollm.attest.dstack.eventlog import RuntimeEvent, boot_payload
from ollm.errors import EvidenceRefused
from ollm.values.policy import TdxReferenceValues

MAX_COMPOSE = 1024 * 1024
COMPOSE_HASH = "compose-hash"
_HASH = "compose.hash"


def check_hash(app_compose: str, events: tuple[RuntimeEvent, ...]) -> str:
    """The text is the one that was measured; its hash in lowercase hex. Raises: EvidenceRefused with compose.hash."""
    if len(app_compose) > MAX_COMPOSE:
        raise EvidenceRefused(_HASH, f"{len(app_compose)} characters", f"at most {MAX_COMPOSE}")
    digest = hashlib.sha256(strict_json.encoded(app_compose, _HASH)).digest()
    measured = boot_payload(events, COMPOSE_HASH, _HASH)
    if measured != digest:
        raise EvidenceRefused(_HASH, f"app-compose with SHA-256 {digest.hex()}", f"{measured[:32].hex()}, as measured")
    return digest.hex()


def check_mr_config_id(mr_config_id: bytes, compose_hash: str) -> None:
    """MRCONFIGID doesn't contradict the compose hash. Raises: EvidenceRefused with compose.mr_config_id."""
    if mr_config_id[0] == 1 and mr_config_id != b"\x01" + bytes.fromhex(compose_hash) + bytes(15):
        raise EvidenceRefused("compose.mr_config_id", mr_config_id.hex(), f"01{compose_hash} and zeros")


def accepting(compose_hash: str, matching: tuple[TdxReferenceValues, ...]) -> TdxReferenceValues:
    """The reference values, among those that the machine matches, which list this compose file. Raises: EvidenceRefused with compose.accepted."""
    for values in matching:
        if compose_hash in values.compose_hashes:
            return values
    names = ", ".join(values.name for values in matching)
    raise EvidenceRefused("compose.accepted", f"app-compose {compose_hash}", f"one listed in the reference values {names}")
