"""What an operator accepts as evidence: one value, made from the measured configuration only.

Every field that is absent from the file has the strict value. A list that is empty accepts nothing; an allow-list that is absent is
not applied. One table for each technology: a policy names the kinds of CPU that it accepts in `cpu`, and asks for GPUs by having
a table `nvidia`.
"""

import datetime
from typing import Annotated, Literal

import msgspec

from ollm.values.level import Level
from ollm.values.provenance import ProvenancePolicy

Technology = Literal["tdx", "sev-snp", "nitro"]
CpuSvn = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Grace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TCB status that is accepted for a while, so that a TCB recovery does not stop a service over night."""

    status: str  # as Intel spells it, for example OutOfDate
    until: datetime.date  # the first day on which it is refused, UTC
    reason: str  # for people: why this was decided


class TdxReferenceValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted measurements of one build on TDX, lowercase hex. A register that is None is not compared; `source` says whence."""

    name: str
    source: str  # where these values come from, for people
    mrtd: str  # 96 hex
    rtmr0: str | None = None
    rtmr1: str | None = None
    rtmr2: str | None = None
    rtmr3: str | None = None
    mr_seam: str | None = None
    mr_config_id: str | None = None
    mr_owner: str | None = None
    mr_owner_config: str | None = None
    compose_hashes: tuple[str, ...] = ()  # SHA-256 of accepted app-compose files, 64 hex each
    os_image_hashes: tuple[str, ...] | None = None  # SHA-256 of accepted dstack OS images; None: not compared


class TdxPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted TDX platforms. `simulated_root_sha256` set means: this policy admits simulated hardware of that root, and no other."""

    simulated_root_sha256: str | None = None  # 64 hex, SHA-256 of the root certificate's DER
    accepted_tcb_status: tuple[str, ...] = ("UpToDate",)
    grace: tuple[Grace, ...] = ()
    min_tcb_evaluation_data_number: int = 0
    allow_dynamic_platform: bool = True  # nearly all cloud machines are (reference platforms of every provider seen)
    allow_cached_keys: bool = True
    allow_smt: bool = True
    rejected_advisories: tuple[str, ...] = ()
    platforms: tuple[str, ...] | None = None  # PPIDs, 32 hex each: the only machines accepted; None: any
    require_firmware_log: bool = False  # the firmware's event log (CCEL) must be there and replay to RTMR0-2
    reference_values: tuple[TdxReferenceValues, ...] = ()


class SnpTcb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Security version numbers of an AMD platform's firmware; `fmc` exists on Turin only."""

    bootloader: CpuSvn = 0
    tee: CpuSvn = 0
    snp: CpuSvn = 0
    microcode: CpuSvn = 0
    fmc: CpuSvn = 0


class SnpGrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An older firmware that is accepted for a while on one product line."""

    product: str
    min_tcb: SnpTcb
    until: datetime.date  # the first day on which it is refused, UTC
    reason: str


class SnpReferenceValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted measurement of one build on SEV-SNP, lowercase hex. What is None is not compared."""

    name: str
    source: str
    measurement: str  # 96 hex: launch digest
    host_data: str | None = None  # 64 hex
    id_key_digest: str | None = None  # 96 hex
    author_key_digest: str | None = None  # 96 hex
    family_id: str | None = None  # 32 hex
    image_id: str | None = None  # 32 hex
    min_guest_svn: int = 0


class SnpPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted SEV-SNP platforms."""

    simulated_root_sha256: str | None = None  # 64 hex, SHA-256 of the root's public key (DER of its SubjectPublicKeyInfo)
    products: tuple[str, ...] = ("Milan", "Genoa", "Turin")
    warned_products: tuple[str, ...] = ("Milan",)  # accepted with a warning: published attacks extract keys of that line
    min_tcb: dict[str, SnpTcb] = {}  # by product
    grace: tuple[SnpGrace, ...] = ()
    allow_vlek: bool = False  # a key of a cloud provider instead of the chip's own
    vlek_csp_ids: tuple[str, ...] = ()  # providers whose keys are accepted
    require_crl: bool = True
    vmpls: tuple[int, ...] = (0,)
    allow_smt: bool = True
    allow_migration_agent: bool = False
    require_single_socket: bool = False
    chips: tuple[str, ...] | None = None  # chip ids in hex: the only machines accepted; None: any
    reference_values: tuple[SnpReferenceValues, ...] = ()


class NitroReferenceValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted measurements of one enclave image, lowercase hex of 96 characters. What is None is not compared."""

    name: str
    source: str
    pcr0: str  # the image
    pcr1: str | None = None  # kernel and boot
    pcr2: str | None = None  # application
    pcr3: str | None = None  # IAM role of the instance
    pcr4: str | None = None  # id of the instance
    pcr8: str | None = None  # signer of the image
    pcr16: str | None = None  # locked by the application


class NitroPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accepted Nitro enclaves."""

    simulated_root_sha256: str | None = None  # 64 hex, SHA-256 of the root certificate's DER
    max_age_seconds: int = 600  # of a document, by the time that the hypervisor wrote into it
    modules: tuple[str, ...] | None = None  # instance ids (i-…): the only machines accepted; None: any
    reference_values: tuple[NitroReferenceValues, ...] = ()


class NvidiaPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Demanded GPUs and switches. Having this table in a policy demands them."""

    simulated_root_sha256: str | None = None  # 64 hex, SHA-256 of the device root certificate's DER
    simulated_rim_root_sha256: str | None = None  # the same of the RIM root
    min_gpus: int = 1
    min_switches: int = 0
    architectures: tuple[str, ...] = ("Hopper", "Blackwell")  # of GPUs; of switches there is one, LS10
    accept: tuple[Literal["report", "nras"], ...] = ("report",)  # nras: NVIDIA's word about a device, in a token, instead of its report
    require_ocsp: bool = True
    min_driver: str | None = None  # for example "550.90.07"
    rejected_drivers: tuple[str, ...] = ()
    rejected_vbios: tuple[str, ...] = ()
    # Serial numbers in hex of devices' certificates (another with each firmware) or of their chips' (the same for life): the only ones
    # accepted; None: any.
    devices: tuple[str, ...] | None = None
    bound: Literal["nonce", "hash"] = "nonce"  # how the CPU's report data must commit to the GPUs' evidence


class ServicePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is demanded of a provider's service beside its machines. A field that a provider's protocol has nothing for changes nothing there."""

    # client: the evidence is over our nonce. server: it may be over one of the service's own, so that an old one can be replayed.
    freshness: Literal["client", "server"] = "client"
    custody: tuple[Literal["instance", "app_kms", "unknown"], ...] = ("instance", "app_kms")  # accepted holders of the keys
    app_ids: tuple[str, ...] | None = None  # dstack applications, 40 hex each; None: any
    key_providers: tuple[str, ...] | None = None  # ids in hex of key services (dstack: the root CA's key); None: any KMS
    require_manager: bool = False  # a statement of what was started in the machine after it booted must be there
    manager_files: tuple[str, ...] | None = None  # SHA-256 of the files that may run by that statement; None: any
    require_signature: bool = False  # an answer that the machine did not sign is a failure; else it is only recorded
    gateway_tdx: TdxPolicy | None = None  # the provider's own gateway in front of the machine; None: a service behind one is refused
    gateway_app_ids: tuple[str, ...] | None = None
    manifest_sha256: str | None = None  # of the one manifest that a Contrast coordinator may have; None: such a service is refused
    secret_service: str | None = None  # DNS name in the certificate of Privatemode's secret service; None: such a service is refused
    # Keys that more than one machine holds are accepted where nothing attests the connection: no machine is singled out by anything then.
    sealed_to_application: bool = False
    # What the machine behind the channel is, where its evidence can't tell; repeated in the claims. None: nobody says.
    terminates_at: Literal["enclave", "router"] | None = None


class AttestationPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One trust decision: which machines running which software may read a prompt."""

    name: str
    level: Level  # tee, or simulated exactly when the tables below pin simulated roots
    reviewed: str | None = None  # who looked these rules over, when, and what they were checked against; for people
    cpu: tuple[Technology, ...] = ("tdx",)
    tdx: TdxPolicy = TdxPolicy()
    snp: SnpPolicy = SnpPolicy()
    nitro: NitroPolicy = NitroPolicy()
    nvidia: NvidiaPolicy | None = None  # None: GPUs are not looked at, and nothing is claimed of them
    provenance: ProvenancePolicy | None = None
    service: ServicePolicy = ServicePolicy()
    require_event_log: bool = True  # dstack event log must be there and replay to RTMR0-3
    require_compose: bool = True  # app-compose must be there, be the measured one, and be in the reference values
    max_keyset_seconds: int = 90 * 86400  # a keyset valid for longer than this is implausible (ACI §3.1)

    @property
    def simulated(self) -> bool:
        """Whether some table pins a simulated root."""
        return any(self.simulated_roots)

    @property
    def simulated_roots(self) -> tuple[str | None, ...]:
        """The simulated root of each root that this policy's technologies need; None where it is the vendor's."""
        tables = {"tdx": self.tdx.simulated_root_sha256, "sev-snp": self.snp.simulated_root_sha256, "nitro": self.nitro.simulated_root_sha256}
        roots = tuple(tables[technology] for technology in self.cpu)
        if self.service.gateway_tdx is not None:
            roots = (*roots, self.service.gateway_tdx.simulated_root_sha256)
        return roots if self.nvidia is None else (*roots, self.nvidia.simulated_root_sha256, self.nvidia.simulated_rim_root_sha256)
