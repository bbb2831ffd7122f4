"""The table `nitro` of a draft, and what it takes from attestation documents."""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import NitroEvidence
from ollm.attest.nitro import layout, wanted
from ollm.config.draft.writing import Source, doubts, entry, is_simulated, sets
from ollm.errors import EvidenceRefused
from ollm.values.hexes import sha256_of

_HOW = {
    0: "PCR0: the whole enclave image. Build it again (nitro-cli build-enclave prints it), or take it from whoever publishes the image.",
    1: "PCR1: kernel and boot RAM disk, as nitro-cli prints it.",
    2: "PCR2: the application, as nitro-cli prints it.",
    3: "PCR3: SHA-384 of the IAM role of the instance: who runs the enclave. Zero: none.",
    4: "PCR4: SHA-384 of the id of the instance: it differs between instances.",
    8: "PCR8: the certificate that signed the image. Zero: nobody signed.",
    16: "PCR16: what the application itself wrote and locked. Zero: nothing.",
}
_OF_ONE_INSTANCE = 4


class Measured(msgspec.Struct, frozen=True):
    """A document; its root where the certificate says that software plays the hypervisor; what no policy accepts of it."""

    document: layout.NitroDocument
    simulated_root: str | None
    doubts: tuple[str, ...]


def measured(evidence: NitroEvidence) -> Measured:
    """Read `evidence`. Raises: EvidenceRefused."""
    document = layout.parse(evidence.document)
    if 0 not in document.pcrs:
        raise EvidenceRefused("nitro.debug", "no PCR0", "a measured enclave")
    simulated = is_simulated(document.certificate, "nitro.certificate")
    root = sha256_of(document.cabundle[0]).removeprefix("sha256:") if simulated else None
    return Measured(document, root, doubts(lambda: wanted.check_debug(document)))


def table(sources: Sequence[tuple[Source, Measured]], *, name: str) -> list[str]:
    """The lines of the table."""
    lines = ["", "[nitro]"]
    root = sources[0][1].simulated_root
    if root is not None:
        lines += entry("simulated_root_sha256", root, "This is a simulated enclave: whoever runs it reads every prompt.")
    instances = sorted({found.document.instance for _, found in sources})
    lines += entry("modules", instances, "Accept enclaves on these instances only. Any AWS account can run this image otherwise.", suggested=True)
    return lines + sets("nitro", name, [(source, _measurements(found.document)) for source, found in sources])


def _measurements(document: layout.NitroDocument) -> list[str]:
    lines: list[str] = []
    for index, how in _HOW.items():
        if index in document.pcrs:
            lines += entry(f"pcr{index}", document.pcrs[index].hex(), how, suggested=index == _OF_ONE_INSTANCE)
    return lines
