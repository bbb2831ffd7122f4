"""The server's side of TLS: version 1.3 alone, every connection proves the key anew."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ollm.errors import ConfigError
from ollm.values.secret import Sealed


class TlsIdentity(msgspec.Struct, frozen=True):
    """A certificate chain and its private key, both PEM."""

    certificate: bytes
    key: Sealed

    @classmethod
    def from_files(cls, certificate: Path, key: Path) -> "TlsIdentity":
        """Read both files. Raises: ConfigError."""
        try:
            return cls(certificate.read_bytes(), Sealed(key.read_bytes()))
        except OSError as error:
            raise ConfigError(f"TLS certificate or key can't be read: {error.strerror}", "see gateway.tls_certificate and gateway.tls_key") from None

    def context(self) -> ssl.SSLContext:
        """A server context. Raises: ConfigError when key and certificate don't fit each other or can't be parsed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # A resumed connection shows no certificate, and clients compare its key on every connection.
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        self.load_into(context)
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Show this identity on connections that `context` begins from now on. Raises: ConfigError, as `context`."""
        try:
            with _readable(self.certificate) as certificate, _readable(self.key.expose()) as key:
                context.load_cert_chain(certificate, key, password=bytes)  # never ask on a terminal
        except (ssl.SSLError, OSError, ValueError):
            raise ConfigError("TLS certificate and key can't be used together", "both must be PEM, the key unencrypted") from None


@contextmanager
def _readable(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `data`; it never touches a disk where the system can avoid it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
            file.write(data)
            file.flush()
            yield file.name
