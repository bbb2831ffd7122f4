"""A vendor's service on loopback that answers what a test scripts, and the artefacts that such services publish."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from ollm.net.collateral.artefact import Key
from ollm.net.fetch import HttpFetch

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
HOUR, DAY = 3600, 86_400
KEY = ec.generate_private_key(ec.SECP384R1())

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[str, bytes], Answer | None]  # target and body to an answer; None: silence


def when(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(*, start: int = NOW - DAY, end: int = NOW + 30 * DAY, serial: int = 7, subject: str = "subject") -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("issuer")).public_key(KEY.public_key())
    return builder.serial_number(serial).not_valid_before(when(start)).not_valid_after(when(end)).sign(KEY, hashes.SHA384())


def der(of: x509.Certificate) -> bytes:
    return of.public_bytes(serialization.Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def crl(*, number: int | None = 5, issued: int = NOW - 60, end: int | None = NOW + 30 * DAY) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(name("issuer")).last_update(when(issued)).next_update(when(end or NOW))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    return builder.sign(KEY, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def rim(*certificates: x509.Certificate, prefix: str = "ds:") -> bytes:
    held = "".join(f"<{prefix}X509Certificate>\n{base64.encodebytes(der(each)).decode()}</{prefix}X509Certificate>" for each in certificates)
    return f"<SoftwareIdentity><Signature><KeyInfo>{held}</KeyInfo></Signature></SoftwareIdentity>".encode()


def question(serial: int = 7) -> bytes:
    """An OCSP request as appraisal makes it."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate(serial=serial), certificate(subject="issuer"), hashes.SHA384())
    return builder.build().public_bytes(serialization.Encoding.DER)


def ocsp_answer(*, serial: int = 7, issued: int = NOW - 60, end: int | None = NOW + DAY, nonce: bytes | None = None) -> bytes:
    above = certificate(subject="issuer")
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate(serial=serial),
        above,
        hashes.SHA384(),
        ocsp.OCSPCertStatus.GOOD,
        when(issued),
        when(end) if end is not None else None,
        None,
        None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, above)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.sign(KEY, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def crl_key(subject: str = "a CA", origin: str = "https://vendor.example") -> Key:
    return Key("root-crl", subject, f"{origin}/{subject.replace(' ', '-')}.der")


class MovableClock:
    """`ports.Clock` that a test moves. Wall time and monotonic time go together unless it says otherwise."""

    def __init__(self, now: int = NOW) -> None:
        self.seconds = now

    def now(self) -> int:
        return self.seconds

    def now_ms(self) -> int:
        return self.seconds * 1000

    def monotonic(self) -> float:
        return float(self.seconds)


class Vendor:
    """What a service was asked, and what it answers."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[str, str, bytes]] = []  # method, target, body
        self.url = ""

    @property
    def targets(self) -> list[str]:
        return [target for _, target, _ in self.asked]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                method, target, _ = head.split(" ", 2)
                length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
                body = await reader.readexactly(length)
                self.asked.append((method, target, body))
                answer = self.script(target, body)
                if answer is None:
                    await reader.read()
                    return
                status, headers, content = answer
                lines = "".join(f"{header}: {value}\r\n" for header, value in {**headers, "content-length": str(len(content))}.items())
                writer.write(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode() + content)
                await writer.drain()


@contextlib.asynccontextmanager
async def vendor(script: Script) -> AsyncIterator[Vendor]:
    """A running service; its `script` can be replaced while it runs."""
    service = Vendor(script)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(service.handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for _ in range(3):  # transports close in the loop's next turns
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def closing(fetch: HttpFetch) -> AsyncIterator[HttpFetch]:
    """`fetch`, closed at the end whatever happened."""
    try:
        yield fetch
    finally:
        await fetch.close()


def ok(body: bytes, **headers: str) -> Answer:
    return 200, {key.replace("_", "-"): value for key, value in headers.items()}, body
