"""The attestation report of ACI/1 (ACI §4.1): evidence for a keyset, with dstack's TDX evidence inside.

    {"api_version":"aci/1","workload_keyset_digest":"sha256:…",
     "attestation":{"tee_type":"tdx","workload_keyset":{…},"report_data":"…","source_provenance":{…},
                    "evidence":{"quote":"…","quote_report_data":"…","event_log":"[…]","app_compose":"…","vm_config":"…","ollm":{…}}},
     "service_capabilities":{"supported_e2ee_versions":["ehbp/1"],"serving":"aggregator"}}

The report is not signed: the quote binds the keyset through `report_data`, and the measured event log binds the compose file.
Everything else in it is only said. So what OLLM must prove about itself beside its keys, the digest of its configuration,
stands in the keyset's `subject` (`values.aci.config_subject`), which the quote binds, and is repeated in `evidence.ollm`, a
member that other verifiers pass over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ollm.errors import WireError
from ollm.values.aci import API_VERSION, Keyset, TlsKey, report_data
from ollm.values.hexes import Hex32

EXTENSION = "ollm"  # our member of attestation.evidence


class QuoteFields(Protocol):
    """What the machine's quoting service answered (`ports.Quote` is one)."""

    @property
    def quote(self) -> str: ...

    @property
    def event_log(self) -> str: ...

    @property
    def vm_config(self) -> str: ...

    @property
    def app_compose(self) -> str: ...


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the attested software comes from (ACI §4.1); trusted by nobody unless measured evidence backs it."""

    repo_url: str | None = None
    repo_commit: str | None = None
    image_digest: str | None = None
    image_provenance: dict[str, Any] | None = None


def build_report(
    keyset: Keyset,
    nonce: Hex32 | None,
    quote: QuoteFields,
    *,
    tee_type: str,
    serving: str,
    provenance: Provenance | Mapping[str, Any] | None = None,
    e2ee_versions: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    key_custody: Mapping[str, Any] | None = None,
    domain: str | None = None,
) -> bytes:
    """The JSON body of GET /v1/aci/attestation.

    `quote` must be over `report_data(keyset.digest(), nonce)`; `serving` is direct or aggregator; `extra` becomes evidence.ollm;
    `key_custody` says where the private keys come from and is left out when nothing can be said; `domain` is the host name under
    which the report was asked for, needed to name the TLS key when the keyset holds keys of several.
    Raises: WireError when the keyset's keys are scoped to host names and none is `domain`.
    """
    digest = keyset.digest()
    slot = report_data(digest, nonce)
    evidence: dict[str, Any] = {
        "quote": quote.quote,
        "quote_report_data": slot.hex(),
        "event_log": quote.event_log,
        "app_compose": quote.app_compose,
        "vm_config": quote.vm_config,
    }
    if key_custody is not None:
        evidence["key_custody"] = key_custody
    binding = _tls_binding(keyset.tls_public_keys, domain)
    if binding is not None:
        evidence["downstream_tls_binding"] = binding
    if extra:
        evidence[EXTENSION] = extra
    return msgspec.json.encode(
        {
            "api_version": API_VERSION,
            "workload_keyset_digest": digest,
            "attestation": {
                "tee_type": tee_type,
                "workload_keyset": keyset,
                "report_data": slot[:32].hex(),
                "source_provenance": Provenance() if provenance is None else provenance,
                "evidence": evidence,
            },
            "service_capabilities": {"supported_e2ee_versions": list(e2ee_versions), "serving": serving},
        }
    )


def _tls_binding(keys: Sequence[TlsKey], domain: str | None) -> dict[str, str] | None:
    """Which TLS key a client of this host name pins; None when the keyset's keys are for every name (ACI §4.2)."""
    scoped = [key for key in keys if key.domain is not None]
    if not scoped:
        return None
    named = [key for key in scoped if key.domain == domain] if domain is not None else scoped
    if len(named) != 1:
        raise WireError("the host name does not name one TLS key of the keyset")
    return {"domain": str(named[0].domain), "spki_sha256": named[0].spki_sha256}
