"""The attestation report: bound to its keyset and nonce, in ACI's shape."""

import json
from typing import Any

import msgspec
import pytest

from ollm.errors import WireError
from ollm.receipts.report import Provenance, build_report
from ollm.values.aci import EHBP_VERSION, HPKE_ALGO, E2eeKey, Keyset, SigningKey, TlsKey, config_subject, parse_keyset, report_data
from ollm.values.hexes import Hex32, Sha256
from ollm.values.jcs import canonical

CONFIG_DIGEST = Sha256("sha256:" + "ab" * 32)
NONCE = Hex32(bytes(range(32)).hex())
KEYSET = Keyset(
    subject=config_subject(CONFIG_DIGEST),
    not_after=1800000000,
    receipt_signing_keys=(SigningKey("receipt-1", "ed25519", "01" * 32),),
    e2ee_public_keys=(E2eeKey("hpke-1", HPKE_ALGO, "02" * 32),),
    tls_public_keys=(TlsKey("c0" * 32),),
)


class Quote(msgspec.Struct, frozen=True):
    quote: str = "04000200"
    event_log: str = '[{"imr":3}]'
    vm_config: str = "{}"
    app_compose: str = '{"name":"ollm"}'


def report(keyset: Keyset = KEYSET, nonce: Hex32 | None = NONCE, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"tee_type": "tdx", "serving": "aggregator", "e2ee_versions": (EHBP_VERSION,)}
    document: dict[str, Any] = json.loads(build_report(keyset, nonce, Quote(), **{**fields, **changes}))
    return document


def test_the_shape() -> None:
    slot = report_data(KEYSET.digest(), NONCE)
    assert report(extra={"config_digest": CONFIG_DIGEST}) == {
        "api_version": "aci/1",
        "workload_keyset_digest": KEYSET.digest(),
        "attestation": {
            "tee_type": "tdx",
            "workload_keyset": json.loads(canonical(KEYSET.document())),
            "report_data": slot[:32].hex(),
            "source_provenance": {"repo_url": None, "repo_commit": None, "image_digest": None, "image_provenance": None},
            "evidence": {
                "quote": "04000200",
                "quote_report_data": slot.hex(),
                "event_log": '[{"imr":3}]',
                "app_compose": '{"name":"ollm"}',
                "vm_config": "{}",
                "ollm": {"config_digest": CONFIG_DIGEST},
            },
        },
        "service_capabilities": {"supported_e2ee_versions": ["ehbp/1"], "serving": "aggregator"},
    }


def test_the_keyset_inside_hashes_to_the_digest_beside_it() -> None:
    document = report()
    keyset, digest = parse_keyset(document["attestation"]["workload_keyset"])
    assert keyset == KEYSET
    assert digest == document["workload_keyset_digest"]


def test_another_nonce_is_another_report_data() -> None:
    seen = {report(nonce=nonce)["attestation"]["report_data"] for nonce in (NONCE, Hex32("00" * 32), None)}
    assert len(seen) == 3


def test_provenance_and_custody_are_said_when_known() -> None:
    document = report(provenance=Provenance(repo_url="https://example.com/ollm", repo_commit="0" * 40), key_custody={"provider": "instance"})
    assert document["attestation"]["source_provenance"]["repo_commit"] == "0" * 40
    assert document["attestation"]["evidence"]["key_custody"] == {"provider": "instance"}
    assert "key_custody" not in report()["attestation"]["evidence"]


def test_a_key_for_every_name_needs_no_binding() -> None:
    assert "downstream_tls_binding" not in report(domain="any.example.com")["attestation"]["evidence"]


def scoped(*domains: str) -> Keyset:
    keys = tuple(TlsKey(f"{number:02x}" * 32, domain) for number, domain in enumerate(domains))
    return msgspec.structs.replace(KEYSET, tls_public_keys=keys)


def test_the_key_of_the_host_name_is_named() -> None:
    binding = report(scoped("a.example.com", "b.example.com"), domain="b.example.com")["attestation"]["evidence"]["downstream_tls_binding"]
    assert binding == {"domain": "b.example.com", "spki_sha256": "01" * 32}
    assert report(scoped("a.example.com"))["attestation"]["evidence"]["downstream_tls_binding"]["domain"] == "a.example.com"


@pytest.mark.parametrize("domain", [None, "c.example.com"])
def test_no_report_without_a_key_for_the_host_name(domain: str | None) -> None:
    with pytest.raises(WireError):
        report(scoped("a.example.com", "b.example.com"), domain=domain)
