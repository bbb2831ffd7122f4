"""The kinds of artefact that vendors publish about their hardware: how long a copy is used, and how much of one is taken.

`refresh` is the soft end: a copy that is older is asked for anew, and serves on only while that fails. The hard end stands in the
artefact (`periods`), and nothing is used beyond it. A kind that is not `stored` is believed for the TLS connection that it came over,
so it never touches a disk, an export or an import, which anybody may have written.
"""

import msgspec

HOUR, DAY = 3600, 86_400
_KIB, _MIB = 1024, 1024 * 1024


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of artefact."""

    title: str  # for people
    refresh: int | None  # seconds; None: immutable, asked for once
    because: str  # the reason for `refresh`
    hold: int | None = None  # hard end in seconds after fetching, for a kind whose artefacts name no end
    max_bytes: int
    seconds: float = 15.0  # for fetching one
    stored: bool = True
    headers: tuple[str, ...] = ()  # answer headers that belong to the artefact


_REVOCATION = "a revocation should be seen within the hour, however long the list would hold"
_RECOVERY = "a TCB recovery should be seen within the hour, however long the document would hold"

KINDS: dict[str, Kind] = {
    "tcb-info": Kind(title="Intel TCB info", refresh=HOUR, because=_RECOVERY, max_bytes=_MIB, headers=("tcb-info-issuer-chain",)),
    "qe-identity": Kind(title="Intel QE identity", refresh=HOUR, because=_RECOVERY, max_bytes=_MIB, headers=("sgx-enclave-identity-issuer-chain",)),
    "pck-crl": Kind(title="Intel PCK CRL", refresh=HOUR, because=_REVOCATION, max_bytes=_MIB, headers=("sgx-pck-crl-issuer-chain",)),
    "root-crl": Kind(title="Intel root CRL", refresh=HOUR, because=_REVOCATION, max_bytes=_MIB),
    "vcek": Kind(
        title="AMD VCEK",
        refresh=None,
        because="chip and firmware name the certificate, so it can't change; AMD answers about one request for it in ten seconds",
        max_bytes=16 * _KIB,
    ),
    "amd-chain": Kind(
        title="AMD certificate chain", refresh=DAY, because="AMD replaces an ASK rarely, and revokes the one before by its CRL", max_bytes=64 * _KIB
    ),
    "amd-crl": Kind(title="AMD CRL", refresh=HOUR, because=_REVOCATION, max_bytes=_MIB),
    "rim": Kind(title="NVIDIA RIM", refresh=DAY, because="an id names one release; NVIDIA only signs it anew when a signer ends", max_bytes=2 * _MIB),
    "ocsp": Kind(title="NVIDIA OCSP answer", refresh=HOUR, because=_REVOCATION, max_bytes=16 * _KIB),
    "nras-keys": Kind(
        title="NRAS keys",
        refresh=300,
        because="keys are replaced every few hours, and a token under a new one comes at once",
        hold=HOUR,  # as long as a token lives
        max_bytes=_MIB,
        stored=False,
    ),
    "sigstore-root": Kind(
        title="Sigstore trusted root",
        refresh=None,
        because="it is never fetched: the operator brings it, and the configuration pins its digest",
        hold=100 * 365 * DAY,  # until the pin changes
        max_bytes=_MIB,
    ),
}
