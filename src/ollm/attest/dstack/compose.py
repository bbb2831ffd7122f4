"""dstack's app-compose: the file that says which containers run, and its measurement.

Its hash is SHA-256 of the exact text as served (parsing and writing it again gives another). The guest extends it into RTMR3
as `compose-hash` before any container starts. MRCONFIGID may state it again: see `mr_config`.

Source: Dstack-TEE/dstack, dstack-util/system_setup.rs.
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


def accepting(compose_hash: str, matching: tuple[TdxReferenceValues, ...]) -> TdxReferenceValues:
    """The reference values, among those that the machine matches, which list this compose file. Raises: EvidenceRefused with compose.accepted."""
    for values in matching:
        if compose_hash in values.compose_hashes:
            return values
    names = ", ".join(values.name for values in matching)
    raise EvidenceRefused("compose.accepted", f"app-compose {compose_hash}", f"one listed in the reference values {names}")
