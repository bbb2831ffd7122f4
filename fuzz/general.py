"""What no vendor defines: strict JSON, ACI reports and their appraisal, dstack's event log and app-compose."""

import base64
import json
from collections.abc import Sequence
from functools import cache

from fuzz.target import Target, raised
from fuzz.world import NOW, machine
from ollm.attest import aci, strict_json
from ollm.attest.appraise import appraise
from ollm.attest.dstack import compose, eventlog
from ollm.attest.evidence import AciEvidence, TdxCollateral
from ollm.attest.recognise import Kind, recognise
from ollm.attest.tdx.layout import TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim import reference
from ollm.values.aci import API_VERSION, HPKE_ALGO, E2eeKey, Keyset, SigningKey, TlsKey, report_data
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy

_NONCE, _SPKI = Hex32("a5" * 32), Hex32("51" * 32)
_KEYSET = Keyset(None, NOW + 3600, (SigningKey("receipt", "ed25519", "02" * 32),), (E2eeKey("sealing", HPKE_ALGO, "03" * 32),), (TlsKey(_SPKI),))


def _text(data: bytes) -> str:
    """Any bytes as text; what is no UTF-8 becomes lone surrogates, which parsers must survive too."""
    return data.decode("utf-8", "surrogateescape")


@cache
def _policy() -> AttestationPolicy:
    return reference.policy([machine()])


@cache
def _collateral() -> TdxCollateral:
    return machine().collateral()


@cache
def _reports() -> Sequence[bytes]:
    digest = _KEYSET.digest()
    evidence = {"quote": machine().quote(report_data(digest, _NONCE)).hex(), "event_log": machine().event_log_json}
    document = {
        "api_version": API_VERSION,
        "workload_keyset_digest": digest,
        "attestation": {
            "tee_type": "tdx",
            "workload_keyset": _KEYSET.document(),
            "evidence": {**evidence, "app_compose": machine().app_compose, "vm_config": machine().vm_config},
        },
    }
    return (json.dumps(document).encode(),)


def _parse_report(data: bytes) -> object:
    return aci.check_keyset(aci.parse_report(data).keyset)


def _appraise_report(data: bytes) -> object:
    evidence = AciEvidence(report=data, nonce=_NONCE, peer_spki_sha256=_SPKI, hpke_key_config=None)
    return raised(appraise(evidence, _collateral(), _policy(), NOW, require_hpke=False)[0])


@cache
def _logs() -> Sequence[bytes]:
    events = json.loads(machine().event_log_json)
    empty = [{**event, "digest": ""} if event["imr"] == 3 else event for event in events]
    return machine().event_log_json.encode(), json.dumps(empty).encode()


@cache
def _measured() -> TdReport:
    return parse_quote(machine().quote(bytes(64))).td_report


@cache
def _runtime() -> tuple[eventlog.RuntimeEvent, ...]:
    return eventlog.replay(eventlog.parse(machine().event_log_json), _measured())


def _replayed(data: bytes) -> object:
    return eventlog.replay(eventlog.parse(_text(data)), _measured())


def _json_seeds() -> Sequence[bytes]:
    return *_reports(), *_logs(), b'[{"a":1.5e3,"b":[null,true,"\\ud83d\\ude00 \\\\ \xc3\xa9"]},-0,[],{}]'


@cache
def _anything() -> Sequence[bytes]:
    """Evidence in every spelling that people keep it in."""
    quote = machine().quote(bytes(64))
    inside = json.dumps({"quote": quote.hex(), "event_log": machine().event_log_json}).encode()
    return quote, quote.hex().encode(), base64.b64encode(quote), inside, *_reports(), b"eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0."


def _recognised(data: bytes) -> object:
    """It never raises: what is not recognised is counted as refused."""
    found = recognise(data)
    if found.kind is Kind.UNKNOWN:
        raise EvidenceRefused("fuzz.unknown", "bytes of no known kind", "evidence")
    return found


def _strict(data: bytes) -> object:
    return strict_json.parse(data, limit=aci.MAX_REPORT, check="fuzz.json")


TARGETS = (
    Target("strict-json", _strict, _json_seeds, text=True, recorded=("tdx/*.json", "dstack/*.json")),
    Target("aci-report", _parse_report, _reports, text=True),
    Target("aci-report-appraised", _appraise_report, _reports, text=True),
    Target("event-log", _replayed, _logs, text=True),
    Target("recognise", _recognised, _anything, text=True, recorded=("*/*.json", "tdx/*.hex", "snp/*")),
    Target("app-compose", lambda data: compose.check_hash(_text(data), _runtime()), lambda: [machine().app_compose.encode()], text=True),
)
