"""The only object that can seal and send: who can make one, what it binds, and what it does with a bad answer."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from ollm.attest.evidence import MachineCollateral, MachineEvidence, SnpCollateral, TdxEvidence
from ollm.config.settings import Timeouts
from ollm.errors import EvidenceRefused, SealError, UpstreamError
from ollm.receipts.session import verify_session
from ollm.sim.breaks import BREAKS
from ollm.sim.service import SimEnclave, SimOptions
from ollm.upstream.aci import AciProvider
from ollm.upstream.answer import SealedRequest
from ollm.upstream.bundle import decode, from_data_uri
from ollm.upstream.provider import Provider
from ollm.upstream.session import Unverified, VerifiedSession, _endorsed, establish
from ollm.values.level import Level
from tests.scripted_enclave import Asked, answer, raw, reset, scripted_enclave, stream
from tests.stage import chat_body, eventually
from tests.upstream.verifying import CHAT, MovableClock, verifier

BODY = chat_body(model="sim-chat")


async def sealed(session: VerifiedSession) -> SealedRequest:
    return await session.seal(CHAT, BODY, {}, streamed=False)


def test_nobody_else_can_make_one() -> None:
    nothing: Any = None
    for token in (None, object(), "token"):
        with pytest.raises(TypeError):
            VerifiedSession(token, "x", nothing, nothing, Timeouts())


async def test_it_binds_what_the_evidence_binds(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        session = await verify()
        assert session.level is Level.SIMULATED
        assert session.appraisal.accepted
        assert session.bound.spkis == (enclave.spki_sha256,)
        assert [key.public_key for key in session.bound.sealing] == [enclave.identity.hpke_public_key]
        document = verify_session(session.session_id, session.document)
        assert document["upstream_name"] == "enclave"
        assert document["endpoint"] == enclave.url
        assert document["claims"]["tee_attested"]["status"] == "refuted"
        assert (document["established_at"], document["expires_at"]) == (session.established_at, session.expires_at)
        assert session.expires_at == session.established_at + 3600
        bundle = decode(from_data_uri(document["evidence"]["data"]))
        assert bundle.appraised_at == session.established_at
        assert bundle.evidence.peer_spki_sha256 == enclave.spki_sha256
        assert repr(session) == f"<VerifiedSession enclave {session.session_id[:12]}>"
        session.close()


async def test_each_is_made_over_a_nonce_of_its_own(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        one, other = await verify(), await verify()
        assert one.session_id != other.session_id
        nonces = {decode(from_data_uri(json.loads(each.document)["evidence"]["data"])).evidence.nonce for each in (one, other)}
        assert len(nonces) == 2
        one.close()
        other.close()


async def test_it_ends_with_the_first_thing_that_it_rests_on(enclave: SimEnclave) -> None:
    async with verifier(enclave, session_seconds=10**9) as verify:
        session = await verify()
        assert session.expires_at == session.appraisal.valid_until
        session.close()


async def test_what_is_sealed_opens_at_the_enclave_alone(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        session = await verify()
        request = await sealed(session)
        assert request.sealed
        assert b"Hello there" not in request.body + request.head
        assert repr(request) == "<sealed request>"
        answered = await session.send(request)
        assert answered.status == 200
        assert b"Hello there" in await answered.read_all()
        answered.close()
        assert (await sealed(session)).body != request.body, "each has a key of its own"
        session.close()


async def test_a_route_that_is_not_sealed_has_no_opener(enclave: SimEnclave) -> None:
    async with verifier(enclave, seal="tls") as verify:
        session = await verify()
        request = await sealed(session)
        assert (request.sealed, request.body, request.opener, request.cipher) == (False, BODY, None, None)
        session.close()


async def test_a_session_whose_key_was_lost_does_not_send_plaintext_instead(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        session = await verify()
        session.bound = msgspec.structs.replace(session.bound, sealing=())
        with pytest.raises(SealError):
            await sealed(session)
        session.close()


@pytest.mark.parametrize("kind", ["no-evidence", "malformed-report", "debug-bit", "spki-mismatch", "hpke-mismatch", "no-collateral", "stale-crl"])
async def test_a_broken_machine_gives_none_and_the_reason(kind: str) -> None:
    async with SimEnclave(SimOptions(broken=kind)) as broken, verifier(broken) as verify:
        with pytest.raises(Unverified) as refusal:
            await verify()
        failure = refusal.value.appraisal.failure
        assert failure is not None
        assert failure.name in BREAKS[kind].checks
        assert refusal.value.reason == f"{failure.name}: got {failure.got}, want {failure.want}"
        assert str(refusal.value) == "evidence refused"


async def test_a_machine_that_does_not_answer_in_time_is_not_verified() -> None:
    async with scripted_enclave(answer(b"{}")) as slow, verifier(slow, timeouts=Timeouts(verify=0.3)) as verify:
        slow.hold_reports = asyncio.Event()
        with pytest.raises(Unverified) as refusal:
            await verify()
        assert refusal.value.reason.startswith("evidence.fetch: ")


async def test_a_machine_that_is_not_there_is_not_verified(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        await enclave.stop()
        with pytest.raises(Unverified) as refusal:
            await verify()
        assert refusal.value.reason.startswith("evidence.fetch: ")


async def test_a_verification_that_is_given_up_leaves_no_connection() -> None:
    async with scripted_enclave(answer(b"{}")) as slow, verifier(slow) as verify:
        slow.hold_reports = asyncio.Event()
        task = asyncio.create_task(_session(verify))
        await eventually(lambda: slow.reports)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.hold_reports.set()


async def _session(verify: Any) -> VerifiedSession:
    session: VerifiedSession = await verify()
    return session


async def test_without_checks_there_is_no_reason_to_accept(enclave: SimEnclave) -> None:
    async with verifier(enclave) as verify:
        session = await verify()
        nothing = msgspec.structs.replace(session.appraisal, checks=())
        assert not nothing.accepted
        assert Unverified(nothing).reason == "no check was made"
        session.close()


# Answers


async def test_an_answer_in_pieces() -> None:
    async with scripted_enclave(stream(b"data: 1\n\n", b"data: 2\n\n")) as enclave, verifier(enclave) as verify:
        session = await verify()
        answered = await session.send(await sealed(session))
        assert answered.streamed
        pieces = []
        while piece := await answered.read():
            pieces.append(piece)
        assert b"".join(pieces) == b"data: 1\n\ndata: 2\n\n"
        answered.close()
        answered.close()
        again = await session.send(await sealed(session))
        again.close()
        assert enclave.connections == 1
        session.close()


@pytest.mark.parametrize("whole", [False, True])
async def test_an_answer_that_ends_inside_a_frame_is_cut(whole: bool) -> None:
    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        assert asked.sealer is not None
        frame = asked.sealer.seal(b"Hello there")[:-1]
        writer.write(asked.start() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(frame), frame))
        return True

    async with scripted_enclave(script) as enclave, verifier(enclave) as verify:
        session = await verify()
        answered = await session.send(await sealed(session))
        with pytest.raises(SealError) as cut:
            await (answered.read_all() if whole else answered.read())
        assert cut.value.code == "FRAMING_TRUNCATED"
        answered.close()
        session.close()


async def test_a_failed_exchange_gives_its_connection_up() -> None:
    async with scripted_enclave(reset) as enclave, verifier(enclave) as verify:
        session = await verify()
        for number in (1, 2):
            with pytest.raises(UpstreamError):
                await session.send(await sealed(session))
            assert enclave.connections == number
        session.close()


async def test_an_error_in_the_clear_is_an_answer_and_its_body_is_nobodys_business() -> None:
    script = raw(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nno", keep=True)
    async with scripted_enclave(script) as enclave, verifier(enclave) as verify:
        session = await verify()
        answered = await session.send(await sealed(session))
        assert (answered.status, answered.retry_after, answered.key_refused) == (503, "3", False)
        answered.close()
        session.close()


def particular(provider: Provider) -> Provider:
    """`provider`, with a protocol that demands something of every request and has words for a secret that isn't known."""

    class Particular(AciProvider):
        def rewrite(self, endpoint: str, body: bytes) -> bytes:
            return body + b" "

    provider.__class__ = Particular
    vars(provider).update(stale_key_status=frozenset({500}), stale_key_words=b"who is that")
    return provider


@pytest.mark.parametrize(("words", "refused"), [(b"Who is that?", False), (b"500: who is that?", True), (b"", False)])
async def test_an_error_may_say_that_the_key_is_not_held_by_its_words_alone(words: bytes, refused: bool) -> None:
    script = raw(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: %d\r\n\r\n" % len(words) + words, keep=True)
    async with scripted_enclave(script) as enclave, verifier(enclave, changed=particular) as verify:
        session = await verify()
        answered = await session.send(await sealed(session))
        assert (answered.status, answered.key_refused) == (500, refused)
        answered.close()
        session.close()


async def test_words_are_not_looked_for_without_end() -> None:
    script = raw(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 70000\r\n\r\n" + b" " * 70000, keep=True)
    async with scripted_enclave(script) as enclave, verifier(enclave, changed=particular) as verify:
        session = await verify()
        with pytest.raises(UpstreamError, match="too large"):
            await session.send(await sealed(session))
        session.close()


async def test_a_request_goes_out_as_the_protocol_demands(enclave: SimEnclave) -> None:
    for changed, want in ((lambda provider: provider, BODY), (particular, BODY + b" ")):
        async with verifier(enclave, changed=changed) as verify:
            session = await verify()
            assert session.outgoing("chat.completions", BODY) == want
            session.close()


async def test_the_clock_that_judges_is_the_one_that_is_given(enclave: SimEnclave) -> None:
    clock = MovableClock()
    clock.ahead = 400 * 86400
    async with verifier(enclave, clock=clock) as verify:
        with pytest.raises(Unverified) as refusal:
            await verify()
        assert refusal.value.appraisal.failure is not None
        assert refusal.value.appraisal.failure.name == "collateral.validity"


def test_the_way_in_is_one() -> None:
    assert establish.__module__ == "ollm.upstream.session"


# Several machines of which one is enough


class Endorsing:
    """Collateral for some machines; `problems` are raised for the first ones."""

    def __init__(self, *problems: BaseException | None) -> None:
        self._problems = list(problems)

    async def collateral(self, evidence: MachineEvidence) -> MachineCollateral:
        problem = self._problems.pop(0)
        if problem is not None:
            raise problem
        return MachineCollateral(cpu=SnpCollateral(leaf=b"", chain=""))


MACHINES = (MachineEvidence(cpu=TdxEvidence(quote=b"1")), MachineEvidence(cpu=TdxEvidence(quote=b"2")))


async def test_of_alternatives_one_without_collateral_is_left_without() -> None:
    first, second = await _endorsed(Endorsing(UpstreamError("connect", "x"), None), MACHINES, alternatives=True)
    assert first.cpu is None and second.cpu is not None


@pytest.mark.parametrize("problem", [UpstreamError("connect", "x"), EvidenceRefused("quote.format", "x", "y")])
async def test_when_none_has_any_that_is_the_reason(problem: Exception) -> None:
    with pytest.raises(type(problem)):
        await _endorsed(Endorsing(problem, problem), MACHINES, alternatives=True)
    with pytest.raises(type(problem)):
        await _endorsed(Endorsing(problem, None), MACHINES, alternatives=False)


async def test_an_error_of_our_own_is_never_an_alternatives_lack() -> None:
    with pytest.raises(ZeroDivisionError):
        await _endorsed(Endorsing(ZeroDivisionError(), None), MACHINES, alternatives=True)
