"""Machines that are broken in exactly one way: the adversary for everything below the ACI report.

A defect is real wherever it can be. A machine whose debug bit is set signs that state; an outdated platform has outdated
SVNs in its certificate. Only where the defect *is* a lie (log, compose, unsigned bytes) are bytes changed afterwards.
"""

import json
from collections.abc import Callable

import msgspec

from ollm.attest.evidence import TdxCollateral
from ollm.sim import eventlog
from ollm.sim.breaks import BREAKS
from ollm.sim.collateral import EVALUATION_NUMBER, OUTDATED_CPU_SVN, OUTDATED_PCE_SVN, Endorsement, PcsAnswer, SimulatedPcs
from ollm.sim.eventlog import Event
from ollm.sim.machine import PCK_DAYS, SimulatedMachine, default_app_compose, tcb_info
from ollm.sim.pki import DAY, SimulatedPki, create_pki
from ollm.sim.quote import DEBUG, MIGRATABLE, SEPT_VE_DISABLE, TdReport
from ollm.sim.sgx_extension import PlatformIdentity

Events = tuple[Event, ...]

REJECTED_ADVISORY = "SIMULATED-SA-00002"  # no genuine simulated machine has it; reference policies reject it


class _Defect(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind changes. Each member maps a genuine value to the broken one; None leaves it genuine."""

    machine: Callable[[SimulatedMachine], SimulatedMachine] | None = None  # another machine altogether
    boots: Callable[[Events], Events] | None = None  # what is really measured, and told
    state: Callable[[TdReport], TdReport] | None = None  # other state, really quoted
    quote: Callable[[SimulatedMachine, TdReport], bytes] | None = None  # other bytes
    tells: Callable[[Events], Events] | None = None  # what is told of what was measured
    log: str | None = None  # the log's very text
    compose: Callable[[str], str] | None = None  # the app-compose that is shown, whatever was measured
    authorities: Callable[[SimulatedMachine], SimulatedPki] | None = None  # who signs the collateral
    endorsement: Callable[[SimulatedMachine, Endorsement], Endorsement] | None = None  # what the collateral says


class BrokenMachine:
    """`machine` as it would be with the defect called `kind`. The genuine machine stays as it is."""

    def __init__(self, machine: SimulatedMachine, kind: str) -> None:
        """Raises: ValueError when `kind` is no hardware defect."""
        if kind not in _DEFECTS:
            raise ValueError(f"{kind!r} is no defect of the hardware")
        defect = _DEFECTS[kind]
        actual = defect.machine(machine) if defect.machine else machine
        events = defect.boots(actual.events) if defect.boots else actual.events
        report = actual.measured(events)
        told = defect.tells(events) if defect.tells else events
        self.kind = kind
        self.expected = BREAKS[kind]
        self.machine = actual
        self.app_compose = defect.compose(machine.app_compose) if defect.compose else actual.app_compose
        self.event_log_json = defect.log if defect.log is not None else eventlog.encode(told)
        self._told = told
        self._report = defect.state(report) if defect.state else report
        self._quote = defect.quote or _quote
        endorsement = defect.endorsement(actual, Endorsement()) if defect.endorsement else None
        authorities = defect.authorities(actual) if defect.authorities else actual.pki
        self.pcs = SimulatedPcs(authorities, actual.clock, endorsement)

    @property
    def vm_config(self) -> str:
        return self.machine.vm_config

    def quote(self, report_data: bytes) -> bytes:
        return self._quote(self.machine, msgspec.structs.replace(self._report, report_data=report_data))

    def info(self) -> dict[str, str]:
        return {**self.machine.info(), "tcb_info": json.dumps(tcb_info(self._report, self._told, self.app_compose))}

    def pcs_answer(self, path: str, query: dict[str, str]) -> PcsAnswer:
        return self.pcs.pcs_answer(path, query)

    def collateral(self) -> TdxCollateral:
        return self.pcs.collateral()


def _quote(machine: SimulatedMachine, report: TdReport) -> bytes:
    return machine.quote_report(report, version=machine.version)


def _patched(offset: int, data: bytes) -> Callable[[SimulatedMachine, TdReport], bytes]:
    """A quote of version 4 with `data` at `offset`, after signing."""

    def quote(machine: SimulatedMachine, report: TdReport) -> bytes:
        genuine = machine.quote_report(report)
        return genuine[:offset] + data + genuine[offset + len(data) :]

    return quote


def _report_data_patched(machine: SimulatedMachine, report: TdReport) -> bytes:
    stale = machine.quote_report(msgspec.structs.replace(report, report_data=bytes(64)))
    return stale[:568] + report.report_data + stale[632:]


def _qe_signature_flipped(machine: SimulatedMachine, report: TdReport) -> bytes:
    quote = bytearray(machine.quote_report(report))
    quote[1160] ^= 1  # inside the PCK key's signature over the QE report, at 1154
    return bytes(quote)


def _with_service_td(machine: SimulatedMachine, report: TdReport) -> bytes:
    return machine.quote_report(report, version=5, mr_service_td=b"\x5d" * 48)


def _with_older_module(machine: SimulatedMachine, report: TdReport) -> bytes:
    return machine.quote_report(report, version=5, tee_tcb_svn_2=bytes([report.tee_tcb_svn[0] - 1]) + report.tee_tcb_svn[1:])


def _attributes(change: Callable[[int], int]) -> Callable[[TdReport], TdReport]:
    def state(report: TdReport) -> TdReport:
        attributes = change(int.from_bytes(report.td_attributes, "little"))
        return msgspec.structs.replace(report, td_attributes=attributes.to_bytes(8, "little"))

    return state


def _platform(**members: object) -> Callable[[SimulatedMachine], SimulatedMachine]:
    return lambda genuine: _rebuilt(genuine, platform=msgspec.structs.replace(genuine.platform, **members))


def _foreign_signer(machine: SimulatedMachine) -> SimulatedPki:
    return msgspec.structs.replace(machine.pki, tcb_signing=create_pki(machine.clock.now()).tcb_signing)


def _rebuilt(
    genuine: SimulatedMachine,
    *,
    pki: SimulatedPki | None = None,
    platform: PlatformIdentity | None = None,
    build: str | None = None,
    app_compose: str | None = None,
    marked: bool = True,
    pck_days: tuple[int, int] = PCK_DAYS,
) -> SimulatedMachine:
    """`genuine` once more, but for what is given."""
    return SimulatedMachine(
        pki or genuine.pki,
        genuine.clock,
        name=genuine.name,
        build=build or genuine.build,
        app_name=genuine.app_name,
        app_compose=app_compose or genuine.app_compose,
        platform=platform or genuine.platform,
        marked=marked,
        pck_days=pck_days,
        version=genuine.version,
    )


def _event(events: Events, name: str, change: Callable[[Event], tuple[Event, ...]]) -> Events:
    """`events` with each event called `name` replaced by what `change` makes of it."""
    return tuple(new for old in events for new in (change(old) if old.event == name else (old,)))


def _edit(name: str, **members: object) -> Callable[[Events], Events]:
    return lambda events: _event(events, name, lambda event: (msgspec.structs.replace(event, **members),))


_OTHER_COMPOSE = default_app_compose("another-application")
_OTHER_COMPOSE_HASH = b"\xc0" * 32


def _compose_hash_twice(events: Events) -> Events:
    return _event(events, "compose-hash", lambda event: (eventlog.runtime_event("compose-hash", _OTHER_COMPOSE_HASH), event))


def _compose_hash_late(events: Events) -> Events:
    late = tuple(event for event in events if event.event == "compose-hash")
    return _event(events, "compose-hash", lambda event: ()) + late


def _said(**members: object) -> Callable[[SimulatedMachine, Endorsement], Endorsement]:
    return lambda machine, endorsement: msgspec.structs.replace(endorsement, **members)


_DEFECTS: dict[str, _Defect] = {
    # Bytes of the quote (version 4; offsets as in sim.quote).
    "truncated-quote": _Defect(quote=lambda machine, report: _quote(machine, report)[:-200]),
    "trailing-bytes": _Defect(quote=lambda machine, report: _quote(machine, report) + b"\x2a" * 16),
    "malformed-quote-header": _Defect(quote=_patched(12, b"\x00" * 16)),
    "malformed-certification-data": _Defect(quote=_patched(764, b"\x05\x00")),
    "bad-quote-signature": _Defect(quote=_report_data_patched),
    "bad-qe-signature": _Defect(quote=_qe_signature_flipped),
    # State of the machine.
    "debug-bit": _Defect(state=_attributes(lambda bits: bits | DEBUG)),
    "sept-ve-disable-clear": _Defect(state=_attributes(lambda bits: bits & ~SEPT_VE_DISABLE)),
    "reserved-attributes": _Defect(state=_attributes(lambda bits: bits | 1 << 1)),
    "unknown-cpu-state": _Defect(state=lambda report: msgspec.structs.replace(report, xfam=report.xfam[:7] + b"\x80")),
    "migratable-td": _Defect(state=_attributes(lambda bits: bits | MIGRATABLE)),
    "service-td": _Defect(quote=_with_service_td),
    "seam-signer": _Defect(state=lambda report: msgspec.structs.replace(report, mr_signer_seam=b"\x5e" * 48)),
    "module-downgraded": _Defect(quote=_with_older_module),
    # Platform and certificates.
    "cached-keys": _Defect(machine=_platform(cached_keys=True)),
    "unmarked-leaf": _Defect(machine=lambda genuine: _rebuilt(genuine, marked=False)),
    "forged-root": _Defect(machine=lambda genuine: _rebuilt(genuine, pki=create_pki(genuine.clock.now()))),
    "expired-pck": _Defect(machine=lambda genuine: _rebuilt(genuine, pck_days=(-30, 20))),
    "revoked-pck": _Defect(endorsement=lambda machine, said: msgspec.structs.replace(said, revoked_pck=(machine.pck.serial_number,))),
    "revoked-ca": _Defect(
        endorsement=lambda machine, said: msgspec.structs.replace(said, revoked_by_root=(machine.pki.platform_ca.certificate.serial_number,))
    ),
    "revoked-tcb-signer": _Defect(
        endorsement=lambda machine, said: msgspec.structs.replace(said, revoked_by_root=(machine.pki.tcb_signing.certificate.serial_number,))
    ),
    "tcb-out-of-date": _Defect(machine=_platform(cpu_svn=OUTDATED_CPU_SVN, pce_svn=OUTDATED_PCE_SVN)),
    "tcb-below-every-level": _Defect(machine=_platform(cpu_svn=bytes(16), pce_svn=1)),
    "tcb-revoked": _Defect(endorsement=_said(status="Revoked")),
    "qe-out-of-date": _Defect(endorsement=_said(qe_status="OutOfDate")),
    "module-out-of-date": _Defect(endorsement=_said(module_status="OutOfDate")),
    "module-unknown": _Defect(endorsement=_said(module_id="TDX_02")),
    # Collateral.
    "no-collateral": _Defect(endorsement=_said(silent=True)),
    "malformed-collateral": _Defect(endorsement=_said(left_out=("tcbLevels",))),
    "stale-collateral": _Defect(endorsement=_said(age=31 * DAY, crl_age=300)),
    "collateral-from-future": _Defect(endorsement=_said(age=-DAY, crl_age=300)),
    "stale-crl": _Defect(endorsement=_said(crl_age=31 * DAY)),
    "crl-from-future": _Defect(endorsement=_said(crl_age=-DAY)),
    "foreign-tcb-signer": _Defect(authorities=_foreign_signer),
    "tcb-info-forged": _Defect(endorsement=_said(tcb_info_forged=True)),
    "tcb-info-of-other-family": _Defect(endorsement=_said(fmspc=b"OTHER\x00")),
    "qe-identity-forged": _Defect(endorsement=_said(qe_identity_forged=True)),
    "qe-identity-wrong": _Defect(endorsement=_said(qe_mr_signer="AB" * 32)),
    "qe-identity-of-sgx": _Defect(endorsement=_said(qe_id="QE")),
    "advisory-rejected": _Defect(endorsement=_said(advisories=(REJECTED_ADVISORY,))),
    "evaluation-number-low": _Defect(endorsement=_said(evaluation_number=EVALUATION_NUMBER - 1)),
    # Event log, application, build.
    "event-log-missing": _Defect(log=""),
    "malformed-event-log": _Defect(log='{"events":[]}'),
    "event-digest-missing": _Defect(tells=_edit("kernel-command-line", digest="")),
    "event-log-broken": _Defect(tells=_edit("kernel-command-line", digest="ab" * 48)),
    "event-payload-changed": _Defect(tells=_edit("app-id", event_payload="ab" * 20)),
    "event-log-relabelled": _Defect(tells=_edit("compose-hash", event_type=0x80000007)),
    "compose-hash-twice": _Defect(boots=_compose_hash_twice),
    "compose-hash-late": _Defect(boots=_compose_hash_late),
    "compose-missing": _Defect(compose=lambda compose: ""),
    "compose-mismatch": _Defect(machine=lambda genuine: _rebuilt(genuine, app_compose=_OTHER_COMPOSE), compose=lambda compose: compose),
    "compose-written-again": _Defect(compose=lambda compose: json.dumps(json.loads(compose), sort_keys=True)),
    "mr-config-id-mismatch": _Defect(state=lambda report: msgspec.structs.replace(report, mr_config_id=b"\x01" + _OTHER_COMPOSE_HASH + bytes(15))),
    "mr-config-id-unknown": _Defect(state=lambda report: msgspec.structs.replace(report, mr_config_id=b"\x04" + report.mr_config_id[1:])),
    "compose-unknown": _Defect(machine=lambda genuine: _rebuilt(genuine, app_compose=_OTHER_COMPOSE)),
    "unknown-measurement": _Defect(machine=lambda genuine: _rebuilt(genuine, build="another-build")),
}
