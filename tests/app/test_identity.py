"""The gateway's own keyset: the same while keys and configuration are, and never near its end."""

import json
from pathlib import Path

import msgspec
import pytest

from ollm.app.identity import gateway_keyset
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError
from ollm.net.signer import Ed25519Signer
from ollm.sim.identity import create_tls, spki_sha256
from ollm.values.aci import Keyset, config_digest_of
from tests.sim.hardware import NOW, FrozenClock

DAY = 86_400
SIGNER = Ed25519Signer(bytes(32))


def keyset(loaded: Loaded, now: int = NOW, signer: Ed25519Signer = SIGNER) -> Keyset:
    return gateway_keyset(loaded, signer, loaded.directory, FrozenClock(now))


def test_it_names_configuration_and_receipt_key(loaded: Loaded) -> None:
    made = keyset(loaded)
    assert config_digest_of(made) == loaded.digest
    assert [key.public_key for key in made.receipt_signing_keys] == [SIGNER.public_key.hex()]
    assert made.not_after == NOW + 30 * DAY
    assert (made.tls_public_keys, made.e2ee_public_keys) == ((), ())


def test_it_outlives_a_restart_for_half_of_its_time(loaded: Loaded) -> None:
    """So that receipts of the last run still verify under the keyset that is served."""
    made = keyset(loaded)
    assert keyset(loaded, NOW + 15 * DAY - 1) == made
    renewed = keyset(loaded, NOW + 15 * DAY)
    assert renewed.not_after == NOW + 45 * DAY
    assert keyset(loaded, NOW + 16 * DAY) == renewed


def test_another_key_or_configuration_makes_another(loaded: Loaded) -> None:
    made = keyset(loaded)
    assert keyset(loaded, signer=Ed25519Signer(b"\x01" * 32)) != made
    path = loaded.directory / "ollm.toml"
    path.write_text(path.read_text() + "# changed\n")
    changed = keyset(load(path))
    assert config_digest_of(changed) not in (None, loaded.digest)


def test_one_that_is_valid_for_longer_than_now_allowed_is_not_kept(loaded: Loaded) -> None:
    keyset(loaded, NOW + 10 * DAY)
    assert keyset(loaded, NOW).not_after == NOW + 30 * DAY


@pytest.mark.parametrize("kept", [b"", b"{}", b"[", b"\xff", json.dumps({"subject": 5}).encode()])
def test_a_kept_one_that_can_not_be_read_is_made_anew(loaded: Loaded, kept: bytes) -> None:
    (loaded.directory / "keyset.json").write_bytes(kept)
    assert keyset(loaded).not_after == NOW + 30 * DAY


def with_certificate(loaded: Loaded, path: Path, hostname: str | None = None) -> Loaded:
    gateway = msgspec.structs.replace(loaded.settings.gateway, tls_certificate=str(path), tls_key="key.pem", public_hostname=hostname)
    return msgspec.structs.replace(loaded, settings=msgspec.structs.replace(loaded.settings, gateway=gateway))


@pytest.mark.parametrize("hostname", [None, "gateway.example.com"])
def test_it_names_the_tls_key_that_is_served(loaded: Loaded, hostname: str | None) -> None:
    certificate, tls = create_tls(NOW)
    path = loaded.directory / "cert.pem"
    path.write_bytes(tls.certificate)
    (entry,) = keyset(with_certificate(loaded, path, hostname)).tls_public_keys
    assert (entry.spki_sha256, entry.domain) == (spki_sha256(certificate), hostname)


def test_a_certificate_that_can_not_be_read_is_named(loaded: Loaded) -> None:
    path = loaded.directory / "cert.pem"
    for content in (None, b"no certificate"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError) as refused:
            keyset(with_certificate(loaded, path))
        assert str(path) in refused.value.cause
