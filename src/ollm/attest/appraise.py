"""The one door: evidence, collateral, policy and time in; an appraisal that explains itself out. Pure; same input, same output.

Requirements come from the policy, never from what the peer sent, and what is absent is refused. Steps run in the order of
`CHECKS`; the first refusal ends the appraisal, and what lies behind it counts as not reached.
"""

from collections.abc import Sequence

import msgspec

from ollm.attest import aci, certificates, claims
from ollm.attest.checks import CHECKS, Trail
from ollm.attest.dstack import compose, eventlog
from ollm.attest.evidence import AciEvidence, Binding, CollateralNeed, TdxCollateral
from ollm.attest.tdx import collateral as tdx_collateral
from ollm.attest.tdx import genuine, layout, wanted
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Claims
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxReferenceValues

_NAMES = tuple(CHECKS)
_QUOTE = _NAMES[_NAMES.index("quote.format") : _NAMES.index("binding.report_data")]
_LIBRARY = ("tcb.info", "tcb.qe_identity", "quote.signature", "tcb.level", "quote.library_verdict")
_LOG = ("event_log.format", "event_log.replay")
_COMPOSE = ("compose.hash", "compose.mr_config_id", "compose.accepted")


class _Genuine(msgspec.Struct, frozen=True):
    """A quote that passed every step of `_QUOTE`."""

    quote: layout.TdxQuote
    claims: Claims
    valid_until: int


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
) -> tuple[Appraisal, Binding | None]:
    """Appraise an ACI/1 service at `now` (Unix seconds). A Binding comes with acceptance only; bad evidence never raises.

    `require_channel` False establishes a keyset for receipts alone: the Binding then names no key to connect to.
    """
    plan = Trail(_service_plan(policy, require_hpke=require_hpke, require_channel=require_channel))
    try:
        return _appraise_service(plan, evidence, collateral, policy, now)
    except EvidenceRefused as error:
        return _refusal(policy, plan.refused(error)), None


def appraise_quote(quote: bytes, collateral: TdxCollateral, policy: AttestationPolicy, now: int, *, compare_measurements: bool = True) -> Appraisal:
    """Appraise a quote alone: neither its report data nor an event log. `compare_measurements` False asks only whether it is genuine."""
    plan = Trail(("policy.level", *_QUOTE, *(("measurement.reference_values",) if compare_measurements else ())))
    try:
        plan.step("policy.level", _check_level, policy)
        found = _genuine_quote(plan, quote, collateral, policy, now)
        result = found.claims
        if compare_measurements:
            matching = plan.step("measurement.reference_values", wanted.matching_reference_values, found.quote.td_report, policy.tdx.reference_values)
            result = claims.service_claims(result, matching, None, None, simulated=policy.simulated)
        return Appraisal(policy.name, policy.level, plan.completed(), result, found.valid_until)
    except EvidenceRefused as error:
        return _refusal(policy, plan.refused(error))


def refused(policy: AttestationPolicy, error: EvidenceRefused, *, before: Sequence[Check] = ()) -> Appraisal:
    """The appraisal of evidence that never came to `appraise`; `before` are checks already made, as in another appraisal."""
    plan = Trail(name for name in _service_plan(policy, require_hpke=False, require_channel=True) if name not in {check.name for check in before})
    return _refusal(policy, (*before, *plan.refused(error)))


def _refusal(policy: AttestationPolicy, checks: tuple[Check, ...]) -> Appraisal:
    return Appraisal(policy.name, policy.level, checks)


def _service_plan(policy: AttestationPolicy, *, require_hpke: bool, require_channel: bool) -> tuple[str, ...]:
    """Names of the checks that this policy demands of a service, in order."""
    optional = {
        "evidence.fetch": False,
        "channel.spki": require_channel,
        "channel.hpke_key": require_hpke,
        **dict.fromkeys(_LOG, policy.require_event_log or policy.require_compose),  # the log is what proves the compose file
        **dict.fromkeys(_COMPOSE, policy.require_compose),
    }
    return tuple(name for name in CHECKS if optional.get(name, True))


def _appraise_service(
    plan: Trail,
    evidence: AciEvidence,
    collateral: TdxCollateral,
    policy: AttestationPolicy,
    now: int,
) -> tuple[Appraisal, Binding]:
    # 0. The policy is one of attested machines.
    plan.step("policy.level", _check_level, policy)

    # 1. Read the report, and the keyset that it claims.
    report = aci.parse_report(evidence.report)
    plan.passed("report.format", "report.version")
    keyset, digest = plan.step("keyset.format", aci.check_keyset, report.keyset)
    plan.step("keyset.digest", aci.check_digest, report.keyset_digest, digest)
    plan.step("keyset.expiry", aci.check_expiry, keyset, now, policy.max_keyset_seconds)

    # 2. The quote is genuine, and its platform is wanted.
    found = _genuine_quote(plan, report.quote, collateral, policy, now)
    td_report = found.quote.td_report

    # 3. The machine stated this keyset for our nonce, and the channel ends at its keys.
    plan.step("binding.report_data", aci.check_report_data, td_report, digest, evidence.nonce)
    spki = plan.step("channel.spki", aci.check_spki, keyset, evidence) if "channel.spki" in plan else None
    hpke_key = plan.step("channel.hpke_key", aci.check_hpke_key, keyset, evidence.hpke_key_config) if "channel.hpke_key" in plan else None

    # 4. What booted, and what it runs, is wanted.
    result = _wanted_software(plan, report, td_report, policy, found.claims)

    valid_until = min(found.valid_until, keyset.not_after)
    appraisal = Appraisal(policy.name, policy.level, plan.completed(), result, valid_until)
    return appraisal, Binding(keyset, digest, spki, hpke_key, found.quote.identity)


def _genuine_quote(plan: Trail, data: bytes, collateral: TdxCollateral, policy: AttestationPolicy, now: int) -> _Genuine:
    # 1. Read every byte of the quote.
    quote = layout.parse_quote(data)
    chain = genuine.load_chain(quote.pck_chain)
    plan.passed("quote.format", "quote.certification_data")

    # 2. The TD's attributes, by name, before the library would refuse them in its own words.
    plan.step("quote.header", wanted.check_header, quote.header)
    plan.step("quote.debug", wanted.check_debug, quote.td_report)
    plan.step("quote.sept_ve_disable", wanted.check_sept_ve_disable, quote.td_report)
    plan.step("quote.reserved_attributes", wanted.check_reserved_attributes, quote.td_report)
    plan.step("quote.migratable", wanted.check_migratable, quote.td_report)
    plan.step("quote.service_td", wanted.check_service_td, quote.td_report)
    plan.step("quote.seam_signer", wanted.check_seam_signer, quote.td_report)

    # 3. The one kind of hardware, and the one root, that the policy admits.
    root = genuine.root_of(policy.tdx)
    plan.step("platform.marker", certificates.check_marker, chain.leaf, simulated=root.simulated)
    plan.step("chain.root", genuine.check_root, quote.pck_chain, root)

    # 4. Certificates, CRLs and collateral: readable, valid now, by their issuers, not revoked.
    parsed = plan.step("collateral.format", tdx_collateral.parse, collateral)
    plan.step("collateral.validity", certificates.check_periods, parsed.periods, now, "collateral.validity")
    plan.step("chain.pck", genuine.check_pck_chain, chain, now)
    plan.step("chain.tcb_signing", genuine.check_signers, parsed, chain)
    plan.step("chain.revocation", genuine.check_revocation, parsed, chain)

    # 5. The library verifies all of that again, and the signatures from Intel's documents down to the TD report.
    platform = genuine.verify(quote, parsed, root, now)
    plan.passed(*_LIBRARY)

    # 6. The platform's TCB is good enough.
    plan.step("tcb.status", wanted.check_tcb_status, platform, policy.tdx)
    plan.step("tcb.advisories", wanted.check_advisories, platform, policy.tdx)
    plan.step("tcb.evaluation_number", wanted.check_evaluation_number, platform, policy.tdx)
    plan.step("platform.configuration", wanted.check_configuration, platform, policy.tdx)

    result = claims.quote_claims(quote.td_report, platform, simulated=root.simulated)
    return _Genuine(quote, result, min(period.end for period in (*parsed.periods, *chain.periods)))


def _wanted_software(plan: Trail, report: aci.Report, td_report: layout.TdReport, policy: AttestationPolicy, base: Claims) -> Claims:
    runtime: tuple[eventlog.RuntimeEvent, ...] = ()
    if "event_log.format" in plan:
        if report.event_log is None:
            raise EvidenceRefused("event_log.format", "no event log", "one that replays to RTMR0-3")
        events = plan.step("event_log.format", eventlog.parse, report.event_log)
        runtime = plan.step("event_log.replay", eventlog.replay, events, td_report)

    matching = plan.step("measurement.reference_values", wanted.matching_reference_values, td_report, policy.tdx.reference_values)

    compose_hash: str | None = None
    accepting: TdxReferenceValues | None = None
    if "compose.hash" in plan:
        if report.app_compose is None:
            raise EvidenceRefused("compose.hash", "no app-compose", "the one that was measured")
        compose_hash = plan.step("compose.hash", compose.check_hash, report.app_compose, runtime)
        plan.step("compose.mr_config_id", compose.check_mr_config_id, td_report.mr_config_id, compose_hash)
        accepting = plan.step("compose.accepted", compose.accepting, compose_hash, matching)
    return claims.service_claims(base, matching, compose_hash, accepting, simulated=policy.simulated)


def _check_level(policy: AttestationPolicy) -> None:
    """A policy that pins a simulated root is simulated, one that doesn't is tee; no other level rests on evidence. Raises: EvidenceRefused."""
    level = Level.SIMULATED if policy.simulated else Level.TEE
    if policy.level is not level:
        raise EvidenceRefused("policy.level", policy.level, level)
