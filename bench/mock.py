"""The model server behind every gateway: nginx with fixed answers, and a TLS key that a simulated enclave attests."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.needs import LUA_MODULES, nginx
from bench.procs import Cores, Group, Process

HERE = Path(__file__).parent
MODEL = "bench"
CHUNKS = 100
WORD = "token"
ANSWER = "A fixed answer, about as long as a short real one would be; nobody computed it, and it is the same each time."


@dataclass(frozen=True)
class Mock:
    process: Process
    plain_port: int
    tls_port: int
    attest_port: int  # where nginx expects the simulated enclave
    certificate: Path
    key: Path


def fill(template: Path, values: dict[str, str | int]) -> str:
    """`template` with each <<name>> replaced. Raises: KeyError for a name without a value."""
    first, *rest = template.read_text().split("<<")
    parts = [first]
    for piece in rest:
        name, _, after = piece.partition(">>")
        parts += [str(values[name]), after]
    return "".join(parts)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed P-256 certificate for localhost and its key: what counts is the key, which evidence binds."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_path, certificate_path = directory / "key.pem", directory / "cert.pem"
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def start_mock(group: Group, cores: Cores, *, plain_port: int, tls_port: int, attest_port: int) -> Mock:
    """Starts nginx on the load's core. The enclave on `attest_port` may come later, or never for peers alone."""
    directory = group.directory / "mock"
    (directory / "tmp").mkdir(parents=True, exist_ok=True)
    certificate, key = make_certificate(directory)
    text = fill(
        HERE / "nginx.conf",
        {
            "modules": str(LUA_MODULES),
            "plain": plain_port,
            "tls": tls_port,
            "attest": attest_port,
            "chunks": CHUNKS,
            "word": WORD,
            "answer": ANSWER,
        },
    )
    (directory / "nginx.conf").write_text(text)
    process = group.start("mock", [nginx(), "-p", str(directory), "-e", "error.log", "-c", "nginx.conf"], core=cores.load)
    process.wait_for_port(plain_port, 10)
    process.wait_for_port(tls_port, 10)
    return Mock(process, plain_port, tls_port, attest_port, certificate, key)
