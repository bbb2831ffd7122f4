"""The minted timestamps are in the true format: rfc3161-client verifies them."""

import pytest

from ollm.testing.mint.rfc3161 import TimestampAuthority

rfc3161 = pytest.importorskip("rfc3161_client", reason="the extra `provenance` is not installed")

NOW = 1_790_000_000


def test_a_timestamp_is_verified_by_another_implementation() -> None:
    authority = TimestampAuthority(NOW)
    stamp = rfc3161.decode_timestamp_response(authority.stamp(b"message", NOW))
    assert int(stamp.tst_info.gen_time.timestamp()) == NOW
    signer, root = (part.certificate for part in authority.chain)
    verifier = rfc3161.VerifierBuilder().tsa_certificate(signer).add_root_certificate(root).build()
    assert verifier.verify_message(stamp, b"message")
    with pytest.raises(rfc3161.VerificationError):
        verifier.verify_message(stamp, b"another")
    other = rfc3161.VerifierBuilder().tsa_certificate(signer).add_root_certificate(TimestampAuthority(NOW).root.certificate).build()
    with pytest.raises(rfc3161.VerificationError):
        other.verify_message(stamp, b"message")
