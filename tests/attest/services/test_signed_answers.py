"""A machine's signature over an exchange: what it must be over, and by whom."""

import hashlib
import json
from typing import Any

import pytest

from ollm.attest.services import signed_answers
from ollm.attest.services.evidence import AnswerSigner
from ollm.errors import EvidenceRefused
from ollm.testing.mint.signer import MODEL, FakeSigner
from ollm.values.hexes import sha256_of
from tests.attest.services.dstack_signer.signers import signer

SENT, ANSWERED = b'{"messages":[]}', b"data: {}\n\ndata: [DONE]\n\n"
KINDS = pytest.mark.parametrize("kind", ["genuine", "ecdsa"])


def bound(who: FakeSigner) -> AnswerSigner:
    return AnswerSigner("ecdsa" if who.key.algorithm == "ecdsa" else "ed25519", who.key.address.hex())


def check(who: FakeSigner, reply: dict[str, Any], model: str | None = MODEL) -> signed_answers.Signed:
    data = json.dumps(reply).encode()
    return signed_answers.check(data, bound(who), model=model, request=sha256_of(SENT), response=sha256_of(ANSWERED))


@KINDS
def test_a_signature_that_holds(kind: str) -> None:
    who = signer(kind)
    found = check(who, who.reply(MODEL, SENT, ANSWERED))
    assert found.text == f"{MODEL}:{hashlib.sha256(SENT).hexdigest()}:{hashlib.sha256(ANSWERED).hexdigest()}"
    assert found.kind == "model"
    assert check(who, {**who.reply(MODEL, SENT, ANSWERED), "signature_kind": "provider_tee"}).kind == "provider_tee"


def legacy(who: FakeSigner) -> dict[str, Any]:
    """The form of older machines, whose text names no model."""
    text = f"{hashlib.sha256(SENT).hexdigest()}:{hashlib.sha256(ANSWERED).hexdigest()}"
    return {**who.reply(MODEL, SENT, ANSWERED), "text": text, "signature": who.key.sign(text.encode())}


@KINDS
def test_forms_that_hold_as_well(kind: str) -> None:
    who = signer(kind)
    check(who, legacy(who))
    reply = who.reply("anything", SENT, ANSWERED)
    assert check(who, reply, model=None).text.startswith("anything:")
    check(
        who, {**reply, "signing_address": reply["signing_address"].upper().replace("0X", "0x"), "signature": reply["signature"].upper()}, model=None
    )


def test_an_ethereum_wallets_older_v() -> None:
    who = signer("ecdsa")
    reply = who.reply(MODEL, SENT, ANSWERED)
    low = bytes([int(reply["signature"][-2:], 16) - 27]).hex()
    check(who, {**reply, "signature": reply["signature"][:-2] + low})


@KINDS
def test_what_does_not_hold(kind: str) -> None:
    who = signer(kind)
    good = who.reply(MODEL, SENT, ANSWERED)
    other = "00" * len(bytes.fromhex(good["signature"].removeprefix("0x")))
    for bad in (
        who.reply(MODEL, SENT + b" ", ANSWERED),
        who.reply(MODEL, SENT, ANSWERED + b"\n"),
        who.reply("other", SENT, ANSWERED),
        {**good, "text": "acme:" + good["text"]},
        {**good, "text": good["text"][:-1]},
        {**good, "text": ""},
        {**good, "signature": other},
        {**good, "signature": good["signature"][:-2]},
        {**good, "signature": "zz" * 64},
        {**good, "signature": good["signature"][:-2] + "ff"},
        {**good, "signing_address": "00" * 20},
        {**good, "signing_algo": "rsa"},
        {**good, "signature_kind": "gateway"},
        {**good, "signature": 7},
    ):
        with pytest.raises(EvidenceRefused, match=r"response\.signature"):
            check(who, bad)


@pytest.mark.parametrize("data", [b"", b"[]", b"x" * 70_000, b'{"text": 1}', b"\xff"])
def test_bytes_that_are_no_signature(data: bytes) -> None:
    with pytest.raises(EvidenceRefused, match=r"response\.signature"):
        signed_answers.is_missing(data)


def test_a_machine_that_says_that_it_did_not_sign() -> None:
    assert signed_answers.is_missing(b'{"error_code": "SIGNATURE_UNSUPPORTED", "message": "not here"}')
    assert not signed_answers.is_missing(json.dumps(signer("genuine").reply(MODEL, SENT, ANSWERED)).encode())


def test_a_key_of_ed25519_that_is_no_point() -> None:
    broken = AnswerSigner("ed25519", "ff" * 32)
    reply = {**signer("genuine").reply(MODEL, SENT, ANSWERED), "signing_address": "ff" * 32}
    with pytest.raises(EvidenceRefused, match="does not hold"):
        signed_answers.check(json.dumps(reply).encode(), broken, model=MODEL, request=sha256_of(SENT), response=sha256_of(ANSWERED))
