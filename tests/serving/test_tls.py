import ssl
from pathlib import Path

import pytest

from ollm.errors import ConfigError
from ollm.serving.tls import TlsIdentity
from ollm.values.secret import Sealed
from tests.serving.client import make_identity


def test_a_context_takes_tls_13_only_and_gives_no_tickets(identity: TlsIdentity) -> None:
    context = identity.context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


def test_from_files(tmp_path: Path, identity: TlsIdentity) -> None:
    (tmp_path / "cert").write_bytes(identity.certificate)
    (tmp_path / "key").write_bytes(identity.key.expose())
    TlsIdentity.from_files(tmp_path / "cert", tmp_path / "key").context()
    with pytest.raises(ConfigError, match="can't be read"):
        TlsIdentity.from_files(tmp_path / "none", tmp_path / "key")


def test_a_key_that_does_not_fit_is_refused(identity: TlsIdentity) -> None:
    for key in (make_identity("other").key, Sealed(b""), Sealed(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")):
        with pytest.raises(ConfigError):
            TlsIdentity(identity.certificate, key).context()


def test_an_encrypted_key_is_refused_and_nobody_is_asked(identity: TlsIdentity) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(identity.key.expose(), None)
    locked = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    with pytest.raises(ConfigError):
        TlsIdentity(identity.certificate, Sealed(locked)).context()


def test_the_key_is_not_in_the_repr(identity: TlsIdentity) -> None:
    assert "PRIVATE" not in repr(identity)
