"""A hypervisor shaped like AWS Nitro's: its chain of certificates, and attestation documents in the true format.

    root ── region ── zone ── instance ── enclave (marked as simulated), which signs documents

Every defect that a verifier must notice can be had by bending the certificates, the fields or the COSE item around them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cbor2
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ollm.testing.mint.x509 import DAY, Authority, create_root, issue

INSTANCE = "i-0123456789abcdef0"
MODULE_ID = f"{INSTANCE}-enc0123456789abcdef"
ES384: Mapping[int, int] = {1: -35}
PCRS: Mapping[int, bytes] = {index: bytes([index + 1]) * 48 if index in (0, 1, 2, 3, 4, 8) else bytes(48) for index in range(16)}
DEBUG_PCRS: Mapping[int, bytes] = {index: bytes(48) for index in range(16)}  # what an enclave in debug mode has
LIFETIME = 3 * 3600

Fields = dict[str, Any]


class NitroHypervisor(msgspec.Struct, frozen=True):
    """One instance's hypervisor."""

    authorities: tuple[Authority, ...]  # root first, as a document lists them
    enclave: Authority

    @property
    def root(self) -> Authority:
        return self.authorities[0]

    def document(
        self,
        now: int,
        *,
        pcrs: Mapping[int, bytes] = PCRS,
        user_data: bytes | None = None,
        nonce: bytes | None = None,
        public_key: bytes | None = None,
        bend: Callable[[Fields], object] | None = None,
        **cose: Any,
    ) -> bytes:
        """A document made at `now` (Unix seconds). `bend` changes its fields in place; for `cose` see `sign`."""
        fields: Fields = {
            "module_id": MODULE_ID,
            "digest": "SHA384",
            "timestamp": now * 1000 + 136,
            "pcrs": dict(pcrs),
            "certificate": self.enclave.der,
            "cabundle": [authority.der for authority in self.authorities],
            "public_key": public_key,
            "user_data": user_data,
            "nonce": nonce,
        }
        if bend is not None:
            bend(fields)
        return self.sign(cbor2.dumps(fields), **cose)

    def sign(
        self, payload: bytes, *, header: Mapping[int, int] = ES384, unprotected: Mapping[int, bytes] | None = None, tagged: bool = False
    ) -> bytes:
        """`payload` as a COSE_Sign1 item, by the enclave's certificate."""
        protected = cbor2.dumps(dict(header))
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        r, s = decode_dss_signature(self.enclave.key.sign(signed, ec.ECDSA(hashes.SHA384())))
        item = [protected, dict(unprotected or {}), payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")]
        return cbor2.dumps(cbor2.CBORTag(18, item) if tagged else item)


def create_hypervisor(
    now: int,
    *,
    root: Authority | None = None,
    path_lengths: tuple[int, ...] = (2, 1, 0),
    instance_authority: bool = True,
    marked: bool = True,
    start: int | None = None,
    lifetime: int = LIFETIME,
) -> NitroHypervisor:
    """A hypervisor whose enclave certificate began at `start` (3 seconds before `now`) and lives for `lifetime` seconds.

    `path_lengths`: of the authorities below the root. `instance_authority` False: the last of them is no authority.
    """
    authorities = [root or create_root("SIMULATED aws.nitro-enclaves", now)]
    for index, path_length in enumerate(path_lengths, 1):
        last = index == len(path_lengths)
        name = f"SIMULATED authority {index}"
        authority = instance_authority or not last
        authorities.append(issue(name, authorities[-1], start=now - DAY, end=now + DAY, path_length=path_length, authority=authority))
    begun = now - 3 if start is None else start
    enclave = issue("SIMULATED enclave", authorities[-1], start=begun, end=begun + lifetime, authority=False, marked=marked)
    return NitroHypervisor(tuple(authorities), enclave)
