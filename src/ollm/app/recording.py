"""A verification kept in a folder, and one repeated out of it. Neither makes a session, so nothing can be sent by them."""

import contextlib
import datetime
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from ollm.app.build import Verification, api_key_of, verification
from ollm.app.collateral import Collateral
from ollm.config.load import Loaded
from ollm.net.clock import StandingClock, SystemClock
from ollm.net.fetch import HttpFetch
from ollm.net.tape import Manifest, Recorder, RecordingFetch, ReplayingFetch, Tape
from ollm.ports import Clock
from ollm.upstream.session import Unverified, examine
from ollm.upstream.taped import recording, replaying
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32, hex32
from ollm.values.secret import Sealed

_REPLAY_SECONDS = 60.0  # nothing is waited for but our own reading


class Verdict(NamedTuple):
    """What a verification came to, at which time, over which nonce."""

    appraisal: Appraisal
    nonce: Hex32
    at: int  # Unix seconds


async def record(loaded: Loaded, name: str, folder: Path) -> Verdict:
    """Verify upstream `name` now, and keep every exchange in `folder`, which must not exist yet. Raises: ConfigError."""
    clock, nonce = SystemClock(), hex32(secrets.token_hex(32))
    upstream, api_key = loaded.settings.upstreams[name], api_key_of(loaded, name)
    recorder = Recorder(api_key.expose() if api_key is not None else None)
    recorder.check(folder)
    begun = clock.now_ms()
    fetch = HttpFetch()
    try:
        # Out of the gateway's collateral nothing is taken: what the verification rests on has to be in the recording.
        async with _collateral(Collateral(loaded, RecordingFetch(fetch, recorder), clock, read_only=True, shelved=False)) as collateral:
            used = verification(loaded, name, collateral, clock.now(), recording(recorder), api_key)
            found = await _examined(used, nonce, clock, upstream.verify_seconds or loaded.settings.gateway.timeouts.verify)
    finally:
        await fetch.close()
    manifest = Manifest(
        provider=upstream.adapter,
        model=upstream.model,
        nonce_hex=nonce,
        captured_at=datetime.datetime.fromtimestamp(found.at, datetime.UTC).isoformat().replace("+00:00", "Z"),
        duration_ms=clock.now_ms() - begun,
    )
    recorder.save(folder, manifest)
    return found


async def replay(loaded: Loaded, name: str, tape: Tape, *, at: int | None = None, nonce: Hex32 | None = None) -> Verdict:
    """Repeat a recorded verification of upstream `name` without a network, at its time and over its nonce unless others are given.

    Raises: ConfigError.
    """
    moment = at if at is not None else tape.manifest.moment
    clock, used_nonce = StandingClock(moment), nonce if nonce is not None else tape.manifest.nonce
    api_key = Sealed(b"replayed") if loaded.settings.upstreams[name].key_sources else None  # nobody is shown it
    async with _collateral(Collateral(loaded, ReplayingFetch(tape), clock, read_only=True, shelved=False)) as collateral:
        used = verification(loaded, name, collateral, moment, replaying(tape), api_key)
        return await _examined(used, used_nonce, clock, _REPLAY_SECONDS)


async def _examined(used: Verification, nonce: Hex32, clock: Clock, seconds: float) -> Verdict:
    policy, provider, endorser, root = used
    try:
        found = await examine(nonce, policy, provider, endorser, clock=clock, trust_root=root, seconds=seconds)
    except Unverified as refusal:
        return Verdict(refusal.appraisal, nonce, clock.now())
    if found.gathered.connection is not None:
        found.gathered.connection.abort("close", "the verification was all that was asked for")
    return Verdict(found.appraisal, nonce, found.judged.appraised_at)


@contextlib.asynccontextmanager
async def _collateral(collateral: Collateral) -> AsyncIterator[Collateral]:
    try:
        yield collateral
    finally:
        await collateral.close()
