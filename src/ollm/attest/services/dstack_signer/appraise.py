"""The steps of appraising a signer in a dstack machine, alone or behind a gateway of its provider's.

A signer's key and the key of its channel are named in one quote, over our nonce. The signing key belongs to the dstack application: its
key service gives it to every machine that runs a version of it which the service's rules allow. So what is sealed to that key can be
read by more machines than the one that was verified; only the attested channel ends at this one.

Behind a gateway two machines are judged: the gateway, at which the channel ends, and the signer, whose key bodies are sealed to.
"""

import msgspec

from ollm.attest import strict_json
from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, NrasEvidence
from ollm.attest.services.course import Course
from ollm.attest.services.dstack_signer import checks, gateway, manager, wanted
from ollm.attest.services.dstack_signer.report import FORMAT, SignerReport, members, parse_document, parse_report
from ollm.attest.services.evidence import AnswerSigner, Bound, Custody, SealingKey, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.attest.services.shapes import REPORT
from ollm.attest.tdx import layout
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy

NRAS = "nras"  # role of the word of NVIDIA's service about the devices, where it was asked for
CIPHER = "near-e2ee-v2"
UNPROVEN = "that no other machine of the application has the signer's key: its key service decides who gets it"


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    """A service's report, taken apart."""

    signer: SignerReport
    gateway: SignerReport | None
    statement: manager.Statement | None
    devices: MachineEvidence  # the signer's machine


# --- which machines -----------------------------------------------------------------------------------------------------


def machines(evidence: ServiceEvidence) -> tuple[MachineEvidence, ...]:
    """The gateway's machine, the signer's, and the manager's view of that. Raises: EvidenceRefused when the report can't be read."""
    return _machines(_read(evidence))


def _machines(read: _Read) -> tuple[MachineEvidence, ...]:
    before = () if read.gateway is None else (MachineEvidence(cpu=read.gateway.cpu),)
    after = () if read.statement is None else (MachineEvidence(cpu=read.statement.cpu),)
    return (*before, read.devices, *after)


def _read(evidence: ServiceEvidence) -> _Read:
    document = parse_document(evidence.documents.get(REPORT, b""))
    front, stated = gateway.split(document, evidence.model)
    signer = parse_report(stated)
    token = evidence.documents.get(NRAS)
    return _Read(
        signer=signer,
        gateway=front,
        statement=None if signer.manager is None else manager.parse(signer.manager, signer.cpu.app_compose),
        devices=MachineEvidence(cpu=signer.cpu, devices=signer.devices if token is None else (NrasEvidence(token=token),)),
    )


def gpu_payload(report: bytes, model: str | None) -> bytes | None:
    """What `report` gives as evidence of GPUs, as NVIDIA's service takes it; None where there is none, or the report can't be read."""
    try:
        document = parse_document(report)
        stated = gateway.split(document, model)[1]
        has_devices = bool(parse_report(stated).devices)
    except EvidenceRefused:
        return None  # the appraisal says so again
    payload = members(stated).get("nvidia_payload")
    return strict_json.encoded(payload, FORMAT) if has_devices and isinstance(payload, str) else None


# --- the way through ----------------------------------------------------------------------------------------------------


def appraise(question: Question) -> Verdict:
    """Appraise a signer's report. A Bound comes with acceptance only."""
    read = _read(question.evidence)
    policy = question.policy
    logged = policy.require_event_log or policy.require_compose
    course = Course(question, before=_before(read, policy), after=_after(read, policy, logged=logged, channel=question.demand.channel))
    with course:
        _appraise(course, question, read, logged=logged)
    return course.verdict


def _before(read: _Read, policy: AttestationPolicy) -> tuple[str, ...]:
    managed = read.statement is not None or policy.service.require_manager
    return (*(checks.GATEWAY if read.gateway is not None else ()), *checks.SIGNER, *(checks.MANAGER_FORMAT if managed else ()))


def _after(read: _Read, policy: AttestationPolicy, *, logged: bool, channel: bool) -> tuple[str, ...]:
    planned = {
        **dict.fromkeys(checks.GATEWAY_MACHINE, read.gateway is not None and logged),
        "channel.spki": channel,
        **dict.fromkeys(("signer.app", "signer.key_provider"), logged),
        "signer.gpus": policy.nvidia is not None,
        **dict.fromkeys(checks.MANAGER, read.statement is not None),
        **dict.fromkeys(checks.OHTTP, read.signer.ohttp is not None),
    }
    return tuple(name for name, asked in planned.items() if asked)


def _appraise(course: Course, question: Question, read: _Read, *, logged: bool) -> None:
    evidence, policy, demand = question.evidence, question.policy, question.demand
    signer, front, nonce = read.signer, read.gateway, bytes.fromhex(question.evidence.nonce)
    found = dict(zip(("gateway", "signer", "manager"), _collateral(question, read), strict=True))

    # 1. What the reports say of themselves: of our nonce, of the model, of a key that bodies can be sealed to.
    before = course.before
    if front is not None:
        before.step("gateway.accepted", gateway.check_accepted, policy)
        before.passed("gateway.format", "gateway.candidates")
        before.step("gateway.nonce", wanted.check_echo, front.nonce, evidence.nonce, "gateway.nonce")
    before.passed("signer.format")
    before.step("signer.nonce", wanted.check_echo, signer.nonce, evidence.nonce, "signer.nonce")
    before.step("signer.algorithm", wanted.check_algorithm, signer, seal=demand.seal)
    before.step("signer.model", wanted.check_model, signer, evidence.model)
    before.step("signer.key", wanted.check_key, signer)
    stated = before.step("signer.fingerprint", wanted.statement, signer.address, signer.fingerprint, channel=demand.channel)
    _manager_before(course, read, policy, evidence.nonce)

    # 2. The gateway's machine, under rules of its own; the channel ends there.
    facts: dict[str, str] = {}
    after = course.after
    if front is not None:
        expected = Expected(report_data=wanted.statement(front.address, front.fingerprint, channel=True), nonce=nonce)
        rules = gateway.rules(policy)
        judged = course.machine(MachineEvidence(cpu=front.cpu), found["gateway"], expected, policy=rules, target="gateway")
        facts |= gateway.facts(judged)
        if logged:
            after.step("gateway.app", wanted.check_app, wanted.runtime(front.cpu), policy.service.gateway_app_ids, "gateway.app")

    # 3. The signer's machine, with its GPUs; it states the key, its channel and our nonce.
    device_nonce = nonce if policy.nvidia is not None else None
    expected = Expected(report_data=stated, nonce=nonce, device_nonce=device_nonce)
    machine = course.machine(read.devices, found["signer"], expected)
    end = signer if front is None else front
    if demand.channel:
        after.step("channel.spki", wanted.check_channel, end.fingerprint, evidence.peer_spki_sha256)
    if logged:
        events = wanted.runtime(signer.cpu)
        facts["app_id"] = after.step("signer.app", wanted.check_app, events, policy.service.app_ids, "signer.app")
        provider = after.step("signer.key_provider", wanted.check_key_provider, events, policy.service.key_providers)
        facts["key_provider"] = f"{provider.name} {provider.id[:200]}"
    if policy.nvidia is not None:
        after.step("signer.gpus", wanted.check_gpus, signer, machine.claims)

    # 4. What was started in it after it booted.
    if read.statement is not None:
        facts |= _manager_after(course, read, read.statement, found["manager"], policy, nonce)

    # 5. What else is signed by its key.
    if signer.ohttp is not None:
        after.step("signer.ohttp", wanted.check_ohttp, signer.ohttp, signer)

    custody: Custody = "app_kms"
    extra = {**machine.claims.extra, **facts, "key_custody": custody}
    extra["unproven"] = f"{extra['unproven']}; {UNPROVEN}"
    course.accept(_bound(read, machine, seal=demand.seal, channel=demand.channel), msgspec.structs.replace(machine.claims, extra=extra))


def _collateral(question: Question, read: _Read) -> tuple[MachineCollateral, MachineCollateral, MachineCollateral]:
    """Collateral of the gateway, the signer and the manager; of what isn't there, none. Raises: EvidenceRefused with machine.collateral."""
    given, needed = question.collateral, len(_machines(read))
    if len(given) != needed:
        raise EvidenceRefused("machine.collateral", f"collateral for {len(given)} machines", f"for {needed}")
    none = MachineCollateral(cpu=None)
    before = given if read.gateway is not None else (none, *given)
    one, two, *rest = before
    return one, two, rest[0] if rest else none


# --- the manager --------------------------------------------------------------------------------------------------------


def _manager_before(course: Course, read: _Read, policy: AttestationPolicy, nonce: Hex32) -> None:
    if read.statement is None:
        if policy.service.require_manager:
            raise EvidenceRefused(manager.FORMAT, "no statement of what was started after the boot", "one")
        return
    course.before.passed("manager.format")
    course.before.step("manager.nonce", wanted.check_echo, read.statement.nonce, nonce, "manager.nonce")
    course.before.step("manager.actions", manager.check_actions, read.statement)


def _manager_after(
    course: Course, read: _Read, statement: manager.Statement, collateral: MachineCollateral, policy: AttestationPolicy, nonce: bytes
) -> dict[str, str]:
    """Facts of a statement that the signer's own machine made. Raises: EvidenceRefused."""
    course.after.step("manager.machine", manager.check_machine, statement, read.signer.cpu)
    expected = Expected(report_data=statement.hash, nonce=nonce)
    without_devices = msgspec.structs.replace(policy, nvidia=None)
    course.machine(MachineEvidence(cpu=statement.cpu), collateral, expected, policy=without_devices, target="compose-manager")
    files = course.after.step("manager.files", manager.check_files, statement, policy.service.manager_files)
    return manager.facts(statement, files)


# --- what it binds ------------------------------------------------------------------------------------------------------


def _bound(read: _Read, machine: Appraisal, *, seal: bool, channel: bool) -> Bound:
    signer = read.signer
    end = signer if read.gateway is None else read.gateway
    identity = {"quote_identity": str(layout.parse_quote(signer.cpu.quote).identity), "signing_address": signer.address.hex()}
    if read.gateway is not None:
        identity["gateway_quote_identity"] = str(layout.parse_quote(read.gateway.cpu.quote).identity)
    return Bound(
        spkis=(Hex32(end.fingerprint.hex()),) if channel and end.fingerprint is not None else (),
        channel_custody="instance" if read.gateway is None else "app_kms",  # gateways share theirs, through their key service
        sealing=(SealingKey(cipher=CIPHER, algorithm=signer.algorithm, public_key=signer.address, custody="app_kms"),) if seal else (),
        signer=AnswerSigner(signer.algorithm, signer.address.hex()),
        identity=identity,
    )
