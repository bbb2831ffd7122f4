"""A TDX machine whose hardware is software: it measures a boot, replays its event log and quotes any report data.

Everything about it is true to format and goes through the same verification as real hardware; only its root differs.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest.evidence import TdxCollateral
from ollm.ports import Clock
from ollm.sim import ccel, eventlog
from ollm.sim.collateral import CURRENT_CPU_SVN, CURRENT_PCE_SVN, FMSPC, PcsAnswer, SimulatedPcs
from ollm.sim.pki import DAY, SimulatedPki
from ollm.sim.quote import TD_1_5, QeReport, QuotingEnclave, TdReport
from ollm.sim.sgx_extension import PlatformIdentity

DEFAULT_BUILD = "ollm-sim-1"
DEFAULT_APP = "simulated-model-server"
PCK_DAYS = (0, 7 * 365)  # begin, in days from now, and length of a PCK certificate: seven years, as Intel's
_KEY_PROVIDER = b'{"name":"none","id":""}'  # dstack's word for: keys are made in the instance, no service hands them out


class Hardware(Protocol):
    """What a workload sees of its machine, and a verifier of its endorser. Genuine and broken machines look alike."""

    @property
    def event_log_json(self) -> str: ...

    @property
    def app_compose(self) -> str: ...

    @property
    def vm_config(self) -> str: ...

    def quote(self, report_data: bytes) -> bytes:
        """A quote over `report_data` (64 bytes)."""

    def info(self) -> dict[str, str]:
        """What dstack's guest agent answers to Info."""

    def pcs_answer(self, path: str, query: dict[str, str]) -> PcsAnswer:
        """What the collateral service answers: status, headers, body."""

    def collateral(self) -> TdxCollateral:
        """All of the collateral at once."""


class SimulatedMachine:
    """One machine of one build, running one application."""

    def __init__(
        self,
        pki: SimulatedPki,
        clock: Clock,
        *,
        name: str = "machine-1",
        build: str = DEFAULT_BUILD,
        app_name: str = DEFAULT_APP,
        app_compose: str | None = None,
        platform: PlatformIdentity | None = None,
        marked: bool = True,
        pck_days: tuple[int, int] = PCK_DAYS,
        version: int = 4,
    ) -> None:
        """`name` stands for the physical machine, `build` for firmware and operating system, `app_compose` for what runs.

        `marked` False and other `pck_days` are for the adversary.
        """
        self.pki = pki
        self.clock = clock
        self.name = name
        self.build = build
        self.app_name = app_name
        self.version = version
        self.platform = platform if platform is not None else platform_identity(name)
        self.app_compose = app_compose if app_compose is not None else default_app_compose(app_name)
        self.compose_hash = hashlib.sha256(self.app_compose.encode()).digest()
        self.app_id = self.compose_hash[:20]  # dstack's rule without a key management service
        self.instance_id = hashlib.sha256(_seed(name, "disk")[:20] + self.app_id).digest()[:20]
        self.pcs = SimulatedPcs(pki, clock)
        self.events = self._boot()
        self.event_log_json = eventlog.encode(self.events)
        self.td_report = self.measured(self.events)
        pck_key = ec.generate_private_key(ec.SECP256R1())
        begin, days = pck_days
        self.pck = pki.issue_pck(pck_key.public_key(), self.platform, now=clock.now() + begin * DAY, days=days, marked=marked)
        self.enclave = self._quoting_enclave(pck_key)

    @property
    def ccel(self) -> bytes:
        """The firmware's own event log, of which `event_log_json` repeats the digests."""
        return ccel.encode(eventlog.boot_measurements(self.build))

    @property
    def vm_config(self) -> str:
        """What the host says it started. Like the real one it is not measured."""
        config = {
            "spec_version": 1,
            "os_image_hash": _seed(self.build, "os-image").hex(),
            "cpu_count": 2,
            "memory_size": 4 * 1024**3,
            "num_gpus": 0,
            "num_nvswitches": 0,
            "num_nics": 1,
            "image": self.build,
        }
        return json.dumps(config, separators=(",", ":"))

    def quote(self, report_data: bytes) -> bytes:
        """A quote over `report_data` (64 bytes). Raises: ValueError for another length."""
        return self.enclave.quote(msgspec.structs.replace(self.td_report, report_data=report_data), version=self.version)

    def quote_report(
        self,
        td_report: TdReport,
        *,
        version: int = 4,
        body: int = TD_1_5,
        tee_tcb_svn_2: bytes | None = None,
        mr_service_td: bytes = bytes(48),
    ) -> bytes:
        """A quote over any state at all: what only simulated hardware does."""
        return self.enclave.quote(td_report, version=version, body=body, tee_tcb_svn_2=tee_tcb_svn_2, mr_service_td=mr_service_td)

    def measured(self, events: Sequence[eventlog.Event]) -> TdReport:
        """The state of the trust domain after `events`, without report data."""
        rtmr0, rtmr1, rtmr2, rtmr3 = eventlog.replay(events)
        return TdReport(
            mr_seam=_measurement("tdx-module", "mr-seam"),
            mrtd=_measurement(self.build, "mrtd"),
            mr_config_id=b"\x01" + self.compose_hash + bytes(15),  # dstack's version 1: commits to the compose file
            rtmr0=rtmr0,
            rtmr1=rtmr1,
            rtmr2=rtmr2,
            rtmr3=rtmr3,
        )

    def info(self) -> dict[str, str]:
        """What dstack's guest agent answers to Info."""
        return {
            "app_id": self.app_id.hex(),
            "instance_id": self.instance_id.hex(),
            "app_name": self.app_name,
            "device_id": hashlib.sha256(self.platform.ppid).hexdigest(),
            "compose_hash": self.compose_hash.hex(),
            "key_provider_info": _KEY_PROVIDER.decode(),
            "vm_config": self.vm_config,
            "tcb_info": json.dumps(tcb_info(self.td_report, self.events, self.app_compose)),
        }

    def pcs_answer(self, path: str, query: dict[str, str]) -> PcsAnswer:
        return self.pcs.pcs_answer(path, query)

    def collateral(self) -> TdxCollateral:
        return self.pcs.collateral()

    def _boot(self) -> tuple[eventlog.Event, ...]:
        runtime = eventlog.runtime_events(
            app_id=self.app_id, compose_hash=self.compose_hash, instance_id=self.instance_id, key_provider=_KEY_PROVIDER
        )
        return eventlog.boot_events(self.build) + runtime

    def _quoting_enclave(self, pck_key: ec.EllipticCurvePrivateKey) -> QuotingEnclave:
        leaf = self.pck.public_bytes(serialization.Encoding.PEM).decode()
        report = QeReport(cpu_svn=self.platform.cpu_svn, mr_enclave=_seed("td-qe", "mr-enclave"))
        return QuotingEnclave(
            ec.generate_private_key(ec.SECP256R1()),
            pck_key,
            leaf + self.pki.platform_ca.pem + self.pki.root.pem,
            report,
            _seed(self.name, "qe-authentication-data"),
        )


def tcb_info(report: TdReport, events: Sequence[eventlog.Event], app_compose: str) -> dict[str, object]:
    """The object that the guest agent serialises into Info's `tcb_info`."""
    return {
        "mrtd": report.mrtd.hex(),
        "rtmr0": report.rtmr0.hex(),
        "rtmr1": report.rtmr1.hex(),
        "rtmr2": report.rtmr2.hex(),
        "rtmr3": report.rtmr3.hex(),
        "compose_hash": hashlib.sha256(app_compose.encode()).hexdigest(),
        "app_compose": app_compose,
        "event_log": [msgspec.to_builtins(event) for event in events],
    }


def platform_identity(name: str, *, cpu_svn: bytes = CURRENT_CPU_SVN, pce_svn: int = CURRENT_PCE_SVN, fmspc: bytes = FMSPC) -> PlatformIdentity:
    """The platform of the machine called `name`: always the same for the same name."""
    return PlatformIdentity(
        ppid=_seed(name, "ppid")[:16],
        cpu_svn=cpu_svn,
        pce_svn=pce_svn,
        fmspc=fmspc,
        platform_instance_id=_seed(name, "platform-instance")[:16],
    )


def default_app_compose(app_name: str) -> str:
    """The app-compose file of a workload that is nothing but this simulation."""
    compose = {
        "manifest_version": 2,
        "name": app_name,
        "runner": "docker-compose",
        "docker_compose_file": "services:\n  model:\n    image: simulated.invalid/model-server@sha256:" + _seed(app_name, "image").hex() + "\n",
        "kms_enabled": False,
        "gateway_enabled": False,
        "public_logs": False,
        "public_sysinfo": False,
        "allowed_envs": [],
    }
    return json.dumps(compose, sort_keys=True, separators=(",", ":"))


def _seed(name: str, purpose: str) -> bytes:
    return hashlib.sha256(f"simulated {purpose}: {name}".encode()).digest()


def _measurement(name: str, purpose: str) -> bytes:
    return hashlib.sha384(f"simulated {purpose}: {name}".encode()).digest()
