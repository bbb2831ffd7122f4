"""EHBP behind the common interface, with Tinfoil's own client as a peer for both directions, over an HPKE of others."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ehbp import derive as theirs
from ehbp.identity import ServerIdentity
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

from ollm.seal.ehbp import RequestOpener
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.seal.openai_fields import CHAT
from tests.seal.peers import answer, chat, code_of, ehbp, encoded, exchanged

SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)


def test_our_request_opens_with_an_hpke_of_others_and_our_cipher_opens_what_their_derivation_seals() -> None:
    key = X25519PrivateKey.generate()
    sealed, opener = EhbpCipher(key.public_key().public_bytes_raw()).seal(CHAT, encoded(chat()), streamed=True)
    enc = bytes.fromhex(dict(sealed.headers)["ehbp-encapsulated-key"])
    recipient = SUITE.create_recipient_context(enc, SUITE.kem.deserialize_private_key(key.private_bytes_raw()), info=b"ehbp request")
    assert recipient.open(sealed.body[4:], b"") == encoded(chat())

    nonce = os.urandom(32)
    keys = theirs.derive_response_keys(recipient.export(b"ehbp response", 32), enc, nonce)
    frames = [theirs.frame_chunk(theirs.encrypt_chunk(keys, number, data)) for number, data in enumerate((b"one", b"two"))]
    assert opener.begin(200, {b"ehbp-response-nonce": nonce.hex().encode()})
    assert opener.feed(frames[0]) + opener.feed(frames[1]) == b"onetwo"
    opener.finish()


def test_their_request_opens_here_and_their_client_opens_our_answer() -> None:
    key = X25519PrivateKey.generate()
    request = ServerIdentity.from_public_key_bytes(key.public_key().public_bytes_raw()).encrypt_request_body(b"the prompt")
    assert request is not None
    ours = RequestOpener(key, request.encapsulated_key.hex())
    assert ours.feed(request.body) == b"the prompt"
    ours.finish()
    nonce = os.urandom(32)
    sealer = ours.response_sealer(nonce)
    keys = theirs.derive_response_keys(request.token.exported_secret, request.encapsulated_key, nonce)
    assert theirs.decrypt_framed_response(keys, sealer.seal(b"one") + sealer.seal(b"two")) == b"onetwo"


def test_the_header_and_the_path() -> None:
    sealed, _ = ehbp().cipher.seal("/any/path", b"{}", streamed=False)
    assert [(name, len(value)) for name, value in sealed.headers] == [("ehbp-encapsulated-key", 64)]
    assert sealed.path is None


def test_an_error_answer_with_a_nonce_is_opened() -> None:
    """SPEC §5.3: decrypt whatever the status."""
    exchange, _ = exchanged(ehbp(), chat())
    assert exchange.headers()
    _, opener = ehbp().cipher.seal(CHAT, b"{}", streamed=False)
    assert opener.begin(500, {b"ehbp-response-nonce": b"ab" * 32})


@pytest.mark.parametrize("nonce", [b"", b"ab", b"AB" * 32, b"ab" * 33, b"\xff" * 64])
def test_a_nonce_that_is_none_is_refused(nonce: bytes) -> None:
    _, opener = ehbp().cipher.seal(CHAT, b"{}", streamed=False)
    assert code_of(lambda: opener.begin(200, {b"ehbp-response-nonce": nonce})) == "INVALID_RESPONSE_NONCE"


def test_a_good_answer_without_a_nonce_is_refused() -> None:
    _, opener = ehbp().cipher.seal(CHAT, b"{}", streamed=False)
    assert code_of(lambda: opener.begin(200, {})) == "MISSING_RESPONSE_NONCE"
    assert code_of(lambda: opener.feed(b"")) == "INVALID_INPUT"


def test_a_whole_answer_that_ends_inside_a_frame_is_refused() -> None:
    exchange, opener = exchanged(ehbp(), chat())
    wire = exchange.whole(answer())
    assert code_of(lambda: opener.whole(wire[:-1])) == "FRAMING_TRUNCATED"


def test_a_cut_between_frames_cannot_be_told() -> None:
    exchange, opener = exchanged(ehbp(), chat())
    first, *_ = exchange.stream([{"n": 1}, {"n": 2}])
    assert opener.feed(first) == b'data: {"n":1}\n\n'
    opener.finish()


def test_an_empty_body_is_not_sealed() -> None:
    assert code_of(lambda: ehbp().cipher.seal(CHAT, b"", streamed=False)) == "INVALID_INPUT"
