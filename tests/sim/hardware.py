"""Helpers for tests of the simulated hardware: a clock that stands still, and the vendor-neutral verifier that judges its quotes."""

import dcap_qvl
import msgspec

from ollm.attest.evidence import AciEvidence, TdxCollateral
from ollm.sim.machine import Hardware
from ollm.values.aci import API_VERSION, Keyset, SigningKey, TlsKey, report_data
from ollm.values.hexes import Hex32

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
REPORT_DATA = bytes(range(64))


class FrozenClock:
    """`ports.Clock` at one moment; tests move it by hand."""

    def __init__(self, now: int = NOW) -> None:
        self.seconds = now

    def now(self) -> int:
        return self.seconds

    def now_ms(self) -> int:
        return self.seconds * 1000

    def monotonic(self) -> float:
        return float(self.seconds)


def library_collateral(collateral: TdxCollateral) -> dcap_qvl.QuoteCollateralV3:
    return dcap_qvl.QuoteCollateralV3(**msgspec.structs.asdict(collateral))


def library_verdict(machine: Hardware, root_der: bytes, now: int = NOW, quote: bytes | None = None) -> str:
    """`UpToDate`, or the first line of the reason why dcap-qvl refuses the machine's quote under its strict policy."""
    policy = dcap_qvl.QuotePolicy.strict(now).allow_dynamic_platform(True).allow_cached_keys(True).allow_smt(True)
    verifier = dcap_qvl.QuoteVerifier(root_ca_der=root_der)
    try:
        claims = verifier.verify_with_policy(quote or machine.quote(REPORT_DATA), library_collateral(machine.collateral()), now, policy)
    except ValueError as refusal:
        return str(refusal).splitlines()[0].removeprefix("Verification failed: ")
    status: str = msgspec.json.decode(claims.to_json())["tcb"]["status"]
    return status


def aci_evidence(machine: Hardware) -> AciEvidence:
    """What a service that is honest in everything but its machine would answer to one nonce."""
    nonce, spki = Hex32("11" * 32), Hex32("22" * 32)
    keyset = Keyset("test", NOW + 3600, (SigningKey("receipt", "ed25519", "33" * 32),), (), (TlsKey(spki),))
    report = {
        "api_version": API_VERSION,
        "workload_keyset_digest": keyset.digest(),
        "attestation": {
            "tee_type": "tdx",
            "workload_keyset": keyset.document(),
            "evidence": {
                "quote": machine.quote(report_data(keyset.digest(), nonce)).hex(),
                "event_log": machine.event_log_json,
                "app_compose": machine.app_compose,
                "vm_config": machine.vm_config,
            },
        },
    }
    return AciEvidence(report=msgspec.json.encode(report), nonce=nonce, peer_spki_sha256=spki, hpke_key_config=None)
