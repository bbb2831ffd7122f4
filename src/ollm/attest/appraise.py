"""The one door: evidence, collateral, policy and time in; an appraisal that explains itself out. Pure; same input, same output.

Requirements come from the policy, never from what the peer sent, and what is absent is refused. Steps run in the order of
`CHECKS`; the first refusal ends the appraisal, and what lies behind it counts as not reached.
"""

from collections.abc import Sequence

from ollm.attest import aci, claims, composition
from ollm.attest.checks import BEFORE, CHANNEL, REPORT, Trail
from ollm.attest.evidence import AciEvidence, Binding, CollateralNeed, TdxCollateral, TdxEvidence
from ollm.attest.tdx import appraise as tdx
from ollm.attest.tdx import genuine, layout, wanted
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check
from ollm.values.policy import AttestationPolicy


def needed_collateral(evidence: AciEvidence) -> CollateralNeed:
    """Which collateral to fetch before `appraise`. Raises: EvidenceRefused when the evidence can't even be read."""
    return genuine.collateral_need(layout.parse_quote(aci.parse_report(evidence.report).quote))


def appraise(
    evidence: AciEvidence,
    collateral: TdxCollateral,
    policy: AttestationPolicy,
    now: int,
    *,
    require_hpke: bool,
    require_channel: bool = True,
    require_field_key: bool = False,
) -> tuple[Appraisal, Binding | None]:
    """Appraise an ACI/1 service at `now` (Unix seconds). A Binding comes with acceptance only; bad evidence never raises.

    `require_channel` False establishes a keyset for receipts alone: the Binding then names no key to connect to. `require_hpke` and
    `require_field_key` say which kind of key to seal to must be there.
    """
    trail = Trail(_service_plan(policy, require_hpke=require_hpke, require_channel=require_channel, require_field_key=require_field_key))
    try:
        return _appraise_service(trail, evidence, collateral, policy, now)
    except EvidenceRefused as error:
        return _refusal(policy, trail.refused(error)), None


def appraise_quote(quote: bytes, collateral: TdxCollateral, policy: AttestationPolicy, now: int, *, compare_measurements: bool = True) -> Appraisal:
    """Appraise a quote alone: neither its report data nor an event log. `compare_measurements` False asks only whether it is genuine."""
    trail = Trail(("policy.level", *tdx.plan(policy.tdx, compare=compare_measurements)))
    try:
        trail.step("policy.level", _check_level, policy)
        parsed, facts = tdx.genuine_quote(trail, quote, collateral, policy.tdx, now)
        result = claims.cpu_claims(facts)
        if compare_measurements:
            matching = trail.step("measurement.reference_values", wanted.matching_reference_values, parsed.td_report, policy.tdx.reference_values)
            result = claims.service_claims(result, matching, None, None, simulated=policy.simulated)
        return Appraisal(policy.name, policy.level, trail.completed(), result, facts.valid_until, facts.warnings)
    except EvidenceRefused as error:
        return _refusal(policy, trail.refused(error))


def refused(policy: AttestationPolicy, error: EvidenceRefused, *, before: Sequence[Check] = ()) -> Appraisal:
    """The appraisal of evidence that never came to `appraise`; `before` are checks already made, as in another appraisal."""
    trail = Trail(name for name in _service_plan(policy, require_hpke=False, require_channel=True) if name not in {check.name for check in before})
    return _refusal(policy, (*before, *trail.refused(error)))


def _refusal(policy: AttestationPolicy, checks: tuple[Check, ...]) -> Appraisal:
    return Appraisal(policy.name, policy.level, checks)


def _service_plan(policy: AttestationPolicy, *, require_hpke: bool, require_channel: bool, require_field_key: bool = False) -> tuple[str, ...]:
    """Names of the checks that this policy demands of a service, in order."""
    names = (*BEFORE, *REPORT, *tdx.plan(policy.tdx, compare=False), *CHANNEL, *tdx.software_plan(policy))
    optional = {"evidence.fetch": False, "channel.spki": require_channel, "channel.field_key": require_field_key, "channel.hpke_key": require_hpke}
    return tuple(name for name in names if optional.get(name, True))


def _appraise_service(
    trail: Trail,
    evidence: AciEvidence,
    collateral: TdxCollateral,
    policy: AttestationPolicy,
    now: int,
) -> tuple[Appraisal, Binding]:
    # 0. The policy is one of attested machines.
    trail.step("policy.level", _check_level, policy)

    # 1. Read the report, and the keyset that it claims.
    report = aci.parse_report(evidence.report)
    trail.passed("report.format", "report.version")
    keyset, digest = trail.step("keyset.format", aci.check_keyset, report.keyset)
    trail.step("keyset.digest", aci.check_digest, report.keyset_digest, digest)
    trail.step("keyset.expiry", aci.check_expiry, keyset, now, policy.max_keyset_seconds)

    # 2. The quote is genuine, and its platform is wanted.
    quote, facts = tdx.genuine_quote(trail, report.quote, collateral, policy.tdx, now)

    # 3. The machine stated this keyset for our nonce, and the channel ends at its keys.
    trail.step("binding.report_data", aci.check_report_data, quote.td_report, digest, evidence.nonce)
    spki = trail.step("channel.spki", aci.check_spki, keyset, evidence) if "channel.spki" in trail else None
    field_key = trail.step("channel.field_key", aci.check_field_key, keyset) if "channel.field_key" in trail else None
    hpke_key = trail.step("channel.hpke_key", aci.check_hpke_key, keyset, evidence.hpke_key_config) if "channel.hpke_key" in trail else None

    # 4. What booted, and what it runs, is wanted.
    explained = TdxEvidence(quote=report.quote, event_log=report.event_log, app_compose=report.app_compose, vm_config=report.vm_config)
    found = tdx.wanted_software(trail, quote, explained, policy)

    result = claims.service_claims(
        claims.cpu_claims(facts), found.matching, found.compose_hash, found.accepting, simulated=policy.simulated, facts=found.facts
    )
    result = claims.with_devices(result, (), simulated=policy.simulated)  # says what stays unproven
    valid_until = min(facts.valid_until, keyset.not_after)
    appraisal = Appraisal(policy.name, policy.level, trail.completed(), result, valid_until, facts.warnings)
    return appraisal, Binding(keyset, digest, spki, hpke_key, quote.identity, field_key)


def _check_level(policy: AttestationPolicy) -> None:
    """The policy is one that a TDX quote can satisfy, and its level is what that is worth. Raises: EvidenceRefused with policy.level."""
    composition.check_level(policy)
    if "tdx" not in policy.cpu:
        raise EvidenceRefused("policy.level", f"a policy for {' and '.join(policy.cpu) or 'nothing'}", "one that accepts TDX")
    demands = {"GPUs": policy.nvidia, "provenance": policy.provenance}
    for demand in (name for name, table in demands.items() if table is not None):
        raise EvidenceRefused("policy.level", f"a policy that demands {demand}", "one for the CPU alone: this evidence has no more")
