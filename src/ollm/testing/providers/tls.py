"""A certificate authority for one test, and the identity of a server on loopback that it vouches for."""

import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ollm.serving.tls import TlsIdentity
from ollm.testing.mint.x509 import DAY, issue, new_key
from ollm.values.secret import Sealed


class Certified(msgspec.Struct, frozen=True):
    """`ca` (PEM) believes `identity` to be the server at `host`."""

    ca: str
    identity: TlsIdentity


def certified(now: int, host: str = "127.0.0.1") -> Certified:
    """A fresh authority and a server's identity; `host` is an address or a name."""
    key = new_key()
    # Python 3.13 and newer ask for what RFC 5280 does: key identifiers.
    identifier = (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    name, end = "a test's certificate authority", now + 365 * DAY
    root = issue(name, None, start=now - DAY, end=end, path_length=None, key=key, extensions=[identifier])
    try:
        named: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        named = x509.DNSName(host)
    extensions = [
        (x509.SubjectAlternativeName([named]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), False),
    ]
    leaf = issue("a test's provider", root, start=now - DAY, end=now + DAY, authority=False, extensions=extensions)
    private = leaf.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = leaf.certificate.public_bytes(serialization.Encoding.PEM)
    return Certified(root.certificate.public_bytes(serialization.Encoding.PEM).decode(), TlsIdentity(pem, Sealed(private)))
