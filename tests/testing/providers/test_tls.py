"""The authority of a test is believed for its own server only."""

import ssl

from cryptography import x509

from ollm.net.clock import SystemClock
from ollm.net.connection import certified_tls
from ollm.testing.providers.tls import certified


def test_it_is_the_only_authority_of_the_context_that_is_given_it() -> None:
    found = certified(SystemClock().now())
    context = certified_tls(found.ca)
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    (only,) = context.get_ca_certs()
    assert (("commonName", "a test's certificate authority"),) in only["subject"]


def test_a_name_or_an_address_stands_in_the_certificate() -> None:
    for host in ("127.0.0.1", "provider.test"):
        pem = certified(SystemClock().now(), host).identity.certificate
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert host in str(list(names))
