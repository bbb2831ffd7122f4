"""The steps of appraising a TDX machine: is the quote genuine and its platform wanted, and is what it booted and runs wanted.

Between the two stands whoever knows what the machine was asked to state: its report data is not judged here.
"""

import msgspec

from ollm.attest import certificates
from ollm.attest.checks import Trail
from ollm.attest.dstack import checks as dstack_checks
from ollm.attest.dstack import compose, eventlog, mr_config
from ollm.attest.evidence import TdxCollateral, TdxEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.tdx import ccel, genuine, layout, wanted
from ollm.attest.tdx import checks as tdx_checks
from ollm.attest.tdx import collateral as tdx_collateral
from ollm.attest.tdx import facts as tdx_facts
from ollm.errors import EvidenceRefused
from ollm.values.policy import AttestationPolicy, TdxPolicy, TdxReferenceValues

_LIBRARY = ("tcb.info", "tcb.qe_identity", "quote.signature", "tcb.level", "quote.library_verdict")
_LOG = ("event_log.format", "event_log.replay")
_COMPOSE = ("compose.hash", "compose.mr_config_id", "compose.accepted")


class Software(msgspec.Struct, frozen=True):
    """What a machine booted and runs, as far as the policy asked."""

    matching: tuple[TdxReferenceValues, ...]  # reference values that its registers equal: at least one
    runtime: tuple[eventlog.RuntimeEvent, ...] = ()  # dstack's events, proven by RTMR3
    compose_hash: str | None = None
    accepting: TdxReferenceValues | None = None  # the reference values that list the compose file
    facts: dict[str, str] = {}  # for the claims' `extra`: what the logs prove


def plan(policy: TdxPolicy, *, compare: bool = True) -> tuple[str, ...]:
    """Names of the checks of a quote, in order; `compare`: its measurements are to equal reference values too."""
    optional = {"platform.listed": policy.platforms is not None}
    names = tuple(name for name in tdx_checks.CHECKS if optional.get(name, True))
    return (*names, *(("measurement.reference_values",) if compare else ()))


def software_plan(policy: AttestationPolicy) -> tuple[str, ...]:
    """Names of the checks of what the machine booted and runs, in order."""
    images = any(values.os_image_hashes is not None for values in policy.tdx.reference_values)
    optional = {
        **dict.fromkeys(tdx_checks.SOFTWARE, policy.tdx.require_firmware_log),
        # The log is what proves the compose file and the image.
        **dict.fromkeys(_LOG, policy.require_event_log or policy.require_compose or images),
        **dict.fromkeys(_COMPOSE, policy.require_compose),
    }
    return tuple(name for name in (*tdx_checks.SOFTWARE, *dstack_checks.CHECKS) if optional.get(name, True))


def genuine_quote(trail: Trail, data: bytes, collateral: TdxCollateral, policy: TdxPolicy, now: int) -> tuple[layout.TdxQuote, CpuFacts]:
    """A genuine quote of a wanted platform at `now` (Unix seconds). Raises: EvidenceRefused."""
    # 1. Read every byte of the quote.
    quote = layout.parse_quote(data)
    chain = genuine.load_chain(quote.pck_chain)
    trail.passed("quote.format", "quote.certification_data")

    # 2. The TD's attributes, by name, before the library would refuse them in its own words.
    trail.step("quote.header", wanted.check_header, quote.header)
    trail.step("quote.debug", wanted.check_debug, quote.td_report)
    trail.step("quote.sept_ve_disable", wanted.check_sept_ve_disable, quote.td_report)
    trail.step("quote.reserved_attributes", wanted.check_reserved_attributes, quote.td_report)
    trail.step("quote.xfam", wanted.check_xfam, quote.td_report)
    trail.step("quote.migratable", wanted.check_migratable, quote.td_report)
    trail.step("quote.service_td", wanted.check_service_td, quote.td_report)
    trail.step("quote.seam_signer", wanted.check_seam_signer, quote.td_report)
    trail.step("quote.current_module", wanted.check_current_module, quote.td_report)

    # 3. The one kind of hardware, and the one root, that the policy admits.
    root = genuine.root_of(policy)
    trail.step("platform.marker", certificates.check_marker, chain.leaf, simulated=root.simulated)
    trail.step("chain.root", genuine.check_root, quote.pck_chain, root)

    # 4. Certificates, CRLs and collateral: readable, valid now, by their issuers, not revoked.
    parsed = trail.step("collateral.format", tdx_collateral.parse, collateral)
    trail.step("collateral.validity", certificates.check_periods, parsed.periods, now, "collateral.validity")
    trail.step("chain.pck", genuine.check_pck_chain, chain, now)
    trail.step("chain.tcb_signing", genuine.check_signers, parsed, chain)
    trail.step("chain.revocation", genuine.check_revocation, parsed, chain)

    # 5. The library verifies all of that again, and the signatures from Intel's documents down to the TD report.
    platform = genuine.verify(quote, parsed, root, now)
    trail.passed(*_LIBRARY)

    # 6. The platform's TCB is good enough, and the platform is one that the policy takes.
    grace = trail.step("tcb.status", wanted.check_tcb_status, platform, policy, now)
    trail.step("tcb.advisories", wanted.check_advisories, platform, policy)
    trail.step("tcb.evaluation_number", wanted.check_evaluation_number, platform, policy)
    trail.step("platform.configuration", wanted.check_configuration, platform, policy)
    if policy.platforms is not None:
        trail.step("platform.listed", wanted.check_platform, platform, policy.platforms)

    ends = [period.end for period in (*parsed.periods, *chain.periods)]
    valid_until = min(ends if grace is None else (*ends, wanted.grace_end(grace)))
    module = parsed.module_level(quote.td_report.tee_tcb_svn)
    return quote, tdx_facts.cpu_facts(quote, platform, module, grace, valid_until=valid_until, simulated=root.simulated)


def wanted_software(trail: Trail, quote: layout.TdxQuote, evidence: TdxEvidence, policy: AttestationPolicy) -> Software:
    """What the machine of a genuine `quote` booted and runs is wanted, as `evidence` explains it. Raises: EvidenceRefused."""
    report = quote.td_report

    # 1. The logs are what was measured.
    facts: dict[str, str] = {}
    if "firmware_log.format" in trail:
        if evidence.ccel is None:
            raise EvidenceRefused("firmware_log.format", "no firmware log", "one that replays to RTMR0-2")
        logged = trail.step("firmware_log.format", ccel.parse, evidence.ccel)
        facts |= tdx_facts.firmware_facts(trail.step("firmware_log.replay", ccel.replay, logged, report))
    runtime: tuple[eventlog.RuntimeEvent, ...] = ()
    if "event_log.format" in trail:
        if evidence.event_log is None:
            raise EvidenceRefused("event_log.format", "no event log", "one that replays to RTMR0-3")
        events = trail.step("event_log.format", eventlog.parse, evidence.event_log)
        runtime = trail.step("event_log.replay", eventlog.replay, events, report)
        facts |= tdx_facts.boot_facts(runtime)

    # 2. Firmware and operating system are a build that the policy lists.
    image, accepted = facts.get("os_image_hash"), policy.tdx.reference_values
    matching = trail.step("measurement.reference_values", wanted.matching_reference_values, report, accepted, image)

    # 3. The application is one that it lists for this build.
    if "compose.hash" not in trail:
        return Software(matching, runtime, facts=facts)
    if evidence.app_compose is None:
        raise EvidenceRefused("compose.hash", "no app-compose", "the one that was measured")
    compose_hash = trail.step("compose.hash", compose.check_hash, evidence.app_compose, runtime)
    trail.step("compose.mr_config_id", mr_config.check_mr_config_id, report.mr_config_id, compose_hash, runtime, evidence.vm_config)
    accepting = trail.step("compose.accepted", compose.accepting, compose_hash, matching)
    return Software(matching, runtime, compose_hash, accepting, facts)
