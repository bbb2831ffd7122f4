"""Rules that a policy must keep to mean something: what contradicts itself, or could never accept anything, is refused with its mend.

The lists of a policy may be empty all the same: an empty list accepts nothing, and `ollm doctor` and `ollm policy explain` say so.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec

from ollm.config.policy_forms import SNP_PRODUCTS, TECHNOLOGIES, check_forms
from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy

NOT_REVIEWED = "NOT REVIEWED"  # in the `source` of drafted reference values
_TABLES = {"tdx": "tdx", "snp": "sev-snp", "nitro": "nitro"}  # table of a policy -> the technology it is about
_DEBUG_PCR = "0" * 96  # AWS Nitro Enclaves user guide: an enclave in debug mode attests PCRs of zeros

_Installed = Callable[[str], object]


def check_table(where: str, table: dict[str, Any]) -> None:
    """What only the written table shows: technologies that `cpu` names, and tables for others. Raises: ConfigError."""
    cpu = table.get("cpu", ["tdx"])
    if not isinstance(cpu, list) or not cpu:
        raise ConfigError(f"{where}.cpu names no technology", f"list at least one of {', '.join(TECHNOLOGIES)}")
    for technology in cpu:
        if technology not in TECHNOLOGIES:
            raise ConfigError(f"{where}.cpu names {str(technology)[:40]!a}", f"this release knows {', '.join(TECHNOLOGIES)}")
    for name, technology in _TABLES.items():
        if name in table and technology not in cpu:
            written = ", ".join(f'"{each}"' for each in (*cpu, technology))
            raise ConfigError(f"{where} has a table {name}, and its cpu does not name {technology}", f"write cpu = [{written}], or remove the table")


def check_policy(where: str, policy: AttestationPolicy) -> None:
    """The policy is spelled right and does not contradict itself. Raises: ConfigError naming `where` and the field."""
    check_forms(where, policy)
    for rule in (_level, _repetitions, _tdx, _snp, _nitro, _nvidia, _provenance, _service):
        rule(where, policy)


def check_reviewed(where: str, policy: AttestationPolicy) -> None:
    """No reference values are as they were drafted. Raises: ConfigError naming them."""
    sources = [
        *((values.name, values.source) for values in policy.tdx.reference_values),
        *((values.name, values.source) for values in policy.snp.reference_values),
        *((values.name, values.source) for values in policy.nitro.reference_values),
        *((values.name, values.source) for values in (policy.service.gateway_tdx or TdxPolicy()).reference_values),
    ]
    for name, source in sources:
        if NOT_REVIEWED in source:
            raise ConfigError(
                f"{where}: the source of reference values {name!a} says that nobody reviewed them",
                "write where you have these values from, other than from the machine itself",
            )


def check_installed(where: str, policy: AttestationPolicy, installed: _Installed = find_spec) -> None:
    """The libraries that this policy needs beyond the core are there. Raises: ConfigError that names the extra to install."""
    needs = {
        "nvidia": ("signxml", policy.nvidia is not None and "report" in policy.nvidia.accept, "NVIDIA's signed reference measurements"),
        "provenance": ("sigstore", policy.provenance is not None and bool(policy.provenance.builds), "build attestations"),
    }
    for extra, (module, needed, what) in needs.items():
        if needed and installed(module) is None:
            raise ConfigError(f"{where} needs {what}, and the library that verifies them is not installed", f"pip install 'ollm[{extra}]'")


def _level(where: str, policy: AttestationPolicy) -> None:
    if policy.level is Level.ZDR:
        raise ConfigError(f"{where}.level is zdr", "a policy appraises evidence, and zdr has none")
    if policy.simulated and None in policy.simulated_roots:
        raise ConfigError(
            f"{where} pins simulated roots for some of its technologies, not for all",
            "pin one in the table of every technology in use (each of cpu; nvidia has two), or in none",
        )
    if policy.simulated != (policy.level is Level.SIMULATED):
        raise ConfigError(
            f"{where} mixes simulated and real hardware",
            'level = "simulated" goes with simulated_root_sha256 in every technology in use, and only with it',
        )


def _repetitions(where: str, policy: AttestationPolicy) -> None:
    _no_repetition(f"{where}.cpu", policy.cpu)
    _no_repetition(f"{where}.tdx.grace, by status,", [grace.status for grace in policy.tdx.grace])


def _no_repetition(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{what} has {name!a} twice", "keep one")


def _tdx(where: str, policy: AttestationPolicy) -> None:
    for grace in policy.tdx.grace:
        if grace.status in policy.tdx.accepted_tcb_status:
            raise ConfigError(
                f"{where}.tdx.grace is for {grace.status}, which accepted_tcb_status accepts without an end",
                "take it out of accepted_tcb_status, so that the grace can end",
            )

    unexplained = not (policy.require_event_log or policy.require_compose)
    if unexplained and any(values.os_image_hashes is not None for values in policy.tdx.reference_values):
        raise ConfigError(f"{where}.tdx lists OS images, which only the event log names, and demands no event log", "require_event_log = true")


def _snp(where: str, policy: AttestationPolicy) -> None:
    snp = policy.snp
    for product, tcb in (*snp.min_tcb.items(), *((grace.product, grace.min_tcb) for grace in snp.grace)):
        if product not in SNP_PRODUCTS:
            raise ConfigError(f"{where}.snp.min_tcb is for {product[:40]!a}", f"AMD's product lines are {', '.join(SNP_PRODUCTS)}")
        if tcb.fmc and product != "Turin":
            raise ConfigError(f"{where}.snp demands fmc of {product}", "only Turin has it: leave it out")
    for product in (*snp.min_tcb, *(grace.product for grace in snp.grace)):
        if product not in snp.products:
            raise ConfigError(f"{where}.snp has a TCB for {product}, which its products do not name", f"add {product} to products, or remove it")
    for product in {grace.product for grace in snp.grace} - set(snp.min_tcb):
        raise ConfigError(f"{where}.snp.grace is for {product}, which has no min_tcb to be excused from", f"add min_tcb.{product}")
    if snp.allow_vlek and not snp.vlek_csp_ids:
        raise ConfigError(
            f"{where}.snp allows keys of cloud providers (VLEK) and names no provider",
            'add vlek_csp_ids, for example ["CN=cc-us-east-2.amazonaws.com"]',
        )
    if snp.vlek_csp_ids and not snp.allow_vlek:
        raise ConfigError(f"{where}.snp names providers of VLEKs and does not allow VLEKs", "allow_vlek = true, or remove vlek_csp_ids")


def _nitro(where: str, policy: AttestationPolicy) -> None:
    for values in policy.nitro.reference_values:
        if _DEBUG_PCR in (values.pcr0, values.pcr1, values.pcr2):
            cause = f"{where}.nitro.reference_values has zeros for one of the first three PCRs"
            raise ConfigError(cause, "an enclave in debug mode attests that: measure a production enclave")


def _nvidia(where: str, policy: AttestationPolicy) -> None:
    nvidia = policy.nvidia
    if nvidia is not None and nvidia.min_gpus + nvidia.min_switches == 0:
        raise ConfigError(f"{where}.nvidia demands no GPU and no switch", "demand at least one, or leave the table out")


def _provenance(where: str, policy: AttestationPolicy) -> None:
    provenance = policy.provenance
    if provenance is None:
        return
    if provenance.require_images and not provenance.builds:
        raise ConfigError(f"{where}.provenance demands built images and names no builder", "add [[provenance.builds]]")
    if provenance.require_images and not (policy.require_compose and policy.cpu == ("tdx",)):
        raise ConfigError(
            f"{where}.provenance demands built images, which only a measured compose file names", 'require_compose = true, cpu = ["tdx"]'
        )
    if provenance.witness is not None and not provenance.builds:
        raise ConfigError(f"{where}.provenance has a witness of releases and names no builder of any", "add [[provenance.builds]]")


def _service(where: str, policy: AttestationPolicy) -> None:
    service = policy.service
    if service.gateway_tdx is not None:
        _tdx(f"{where}.service.gateway", msgspec.structs.replace(policy, tdx=service.gateway_tdx))
    elif service.gateway_app_ids is not None:
        raise ConfigError(f"{where}.service lists applications of a gateway, and admits no gateway", "add a table gateway_tdx, or remove the list")
    for field in ("app_ids", "key_providers", "gateway_app_ids"):
        if getattr(service, field) is not None and not (policy.require_event_log or policy.require_compose):
            raise ConfigError(f"{where}.service.{field} names what only the event log proves", "require_event_log = true")
    if service.manager_files is not None and not service.require_manager:
        raise ConfigError(f"{where}.service.manager_files compares a statement that need not be there", "require_manager = true")
