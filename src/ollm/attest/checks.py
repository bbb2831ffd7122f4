"""Every check of an appraisal: its stable name, what it proves when it passed, and the text that demands it.

The order is the order of appraisal. `Trail` records how far an appraisal came.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

import msgspec

from ollm.errors import EvidenceRefused
from ollm.values.checks import Check, Outcome

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Proof(msgspec.Struct, frozen=True):
    """What a passed check proves, and where that is demanded."""

    proves: str
    source: str


_ACI = "ACI/1"
_QUOTE = "Intel TDX DCAP Quoting Library API, appendix A"
_ABI = "Intel TDX Module ABI, TD_ATTRIBUTES"
_PCK = "Intel SGX PCK Certificate and CRL Profile"
_PCS = "Intel SGX and TDX Provisioning Certification Service API v4"
_OWN = "OLLM attestation policy"
_DSTACK = "dstack attestation guide"

CHECKS: dict[str, Proof] = {
    "evidence.fetch": Proof("evidence and collateral could be fetched (made by whoever fetches, before appraisal)", _OWN),
    "policy.level": Proof("the policy is for attested machines, and simulated exactly when it pins a simulated root", _OWN),
    "report.format": Proof("the report is one JSON document with the members of an attestation report, each once", f"{_ACI} §4"),
    "report.version": Proof("the report is of the version and the kind of machine that this verifier understands", f"{_ACI} §4"),
    "keyset.format": Proof("the keyset is well-formed and gives each key one role", f"{_ACI} §3.1"),
    "keyset.digest": Proof("the digest stated is that of the keyset received", f"{_ACI} §3.1"),
    "keyset.expiry": Proof("the keyset is valid now and not for implausibly long", f"{_ACI} §3.1"),
    "quote.format": Proof("the quote is a TDX quote with every length right and nothing left over", _QUOTE),
    "quote.certification_data": Proof("the quote carries the certificates of its platform, and nothing else", _QUOTE),
    "quote.header": Proof("the quote was made by Intel's quoting enclave", f"{_QUOTE}, quote header"),
    "quote.debug": Proof("the host can't read the TD by debugging it", f"{_ABI} bit 0"),
    "quote.sept_ve_disable": Proof("the host can't inject exceptions by unmapping the TD's pages", f"{_ABI} bit 28"),
    "quote.reserved_attributes": Proof("no attribute is set whose meaning is unknown or lets the host profile the TD", _ABI),
    "quote.migratable": Proof("the TD can't move to a machine that was not attested", f"{_ABI} bit 29"),
    "quote.service_td": Proof("no service TD takes part in this TD", f"{_QUOTE}, TD report 1.5"),
    "quote.seam_signer": Proof("the TDX module was signed by Intel", f"{_PCS}, tdxModule"),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "chain.root": Proof("the chain ends in the root that is pinned", _PCK),
    "collateral.format": Proof("the collateral is complete and readable", _PCS),
    "collateral.validity": Proof("every statement of the collateral is valid now: none expired, none from the future", _PCS),
    "chain.pck": Proof("the platform's certificate was issued under that root and is valid now", _PCK),
    "chain.tcb_signing": Proof("the signers of the collateral were certified by that root", _PCS),
    "chain.revocation": Proof("no certificate relied upon is revoked, by CRLs of their own issuers", _PCK),
    "tcb.info": Proof("the TCB info is signed and is about this platform", f"{_PCS}, TCB info"),
    "tcb.qe_identity": Proof("the quoting enclave is the one that Intel's signed identity describes", f"{_PCS}, QE identity"),
    "quote.signature": Proof("the platform vouches for the attestation key, that key signed the TD report, and no bit was changed", _QUOTE),
    "tcb.level": Proof("the platform's firmware and TDX module have a known level", f"{_PCS}, TCB levels"),
    "quote.library_verdict": Proof("the verifying library accepts quote and collateral as a whole", "dcap-qvl 0.7"),
    "tcb.status": Proof("the level's status is one that the policy accepts", _OWN),
    "tcb.advisories": Proof("no advisory applies that the policy rejects", _OWN),
    "tcb.evaluation_number": Proof("the collateral is not older than the policy's floor", _OWN),
    "platform.configuration": Proof("the platform's configuration is one that the policy allows", _OWN),
    "binding.report_data": Proof("the machine itself stated this keyset, freshly, for our nonce", f"{_ACI} §3.2"),
    "channel.spki": Proof("the connection ends at a key of that keyset", f"{_ACI} §5"),
    "channel.hpke_key": Proof("what is sealed can be opened only with a key of that keyset", "OLLM specification: ACI with EHBP"),
    "event_log.format": Proof("the event log is well-formed", _DSTACK),
    "event_log.replay": Proof("the event log is what the machine measured; each runtime event has the digest of its name and payload", _DSTACK),
    "measurement.reference_values": Proof("firmware and operating system are a build that the policy lists", "RFC 9334 §8.4"),
    "compose.hash": Proof("the application's definition is the one that was measured, once, before any application ran", _DSTACK),
    "compose.mr_config_id": Proof("the configuration that the host fixed at start does not contradict it", _DSTACK),
    "compose.accepted": Proof("that definition is one that the policy lists for this build", "RFC 9334 §8.4"),
}


class Trail:
    """How far an appraisal came through its `plan`, a sequence of names from CHECKS."""

    def __init__(self, plan: Iterable[str]) -> None:
        self._plan = tuple(plan)
        self._passed: dict[str, Check] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._plan

    def step(self, name: str, check: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run one check and record that it passed. Raises: EvidenceRefused from it."""
        result = check(*args, **kwargs)
        self.passed(name)
        return result

    def passed(self, *names: str, got: str = "") -> None:
        """Record that the checks `names` passed."""
        self._passed.update((name, Check(name, Outcome.PASSED, got)) for name in names)

    def checks(self) -> tuple[Check, ...]:
        """All checks of the plan; those without a record were not reached."""
        return tuple(self._passed.get(name, Check(name, Outcome.NOT_REACHED)) for name in self._plan)

    def refused(self, error: EvidenceRefused) -> tuple[Check, ...]:
        """All checks, the one that `error` names failed. One that was not planned comes first, so that it can't be missed."""
        failed = Check(error.check, Outcome.FAILED, error.got, error.want)
        checks = tuple(failed if check.name == error.check else check for check in self.checks())
        return checks if failed in checks else (failed, *checks)

    def completed(self) -> tuple[Check, ...]:
        """All checks, when each of them passed. Raises: EvidenceRefused for one that was forgotten; nothing passes by omission."""
        missing: Sequence[str] = [name for name in self._plan if name not in self._passed]
        if missing:
            raise EvidenceRefused(missing[0], "not checked", "checked")
        return self.checks()
