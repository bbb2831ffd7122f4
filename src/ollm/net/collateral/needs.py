"""Needs in words, for whoever fetches collateral before there is evidence.

tdx:00906ED50000            Intel: TCB info of a platform family, QE identity, revocation lists; :processor for the other CA
snp:Genoa                   AMD: chain and revocation list of a product line; :vlek for those of cloud providers' keys
vcek:Genoa:<chip>:3.0.8.115 AMD: one chip's certificate, for bootloader, TEE, SNP and microcode; on Turin a fifth number, FMC
rim:NV_GPU_DRIVER_…         NVIDIA: one reference file
"""

import re
from collections.abc import Awaitable, Callable

from ollm.attest.evidence import CollateralNeed
from ollm.attest.sevsnp.need import SnpNeed
from ollm.errors import ConfigError
from ollm.net.collateral.endorser import MachineEndorser

_PRODUCTS = ("Milan", "Genoa", "Turin")
_CHIP = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{128}")
_MEND = "write tdx:FMSPC[:processor], snp:PRODUCT[:vlek], vcek:PRODUCT:CHIP:BL.TEE.SNP.UCODE[.FMC] or rim:ID"


async def fetch(endorser: MachineEndorser, need: str) -> None:
    """Fetch what `need` names into the endorser's cache. Raises: ConfigError for words that name nothing, UpstreamError."""
    kind, _, rest = need.partition(":")
    fetcher = _FETCHERS.get(kind)
    if fetcher is None:
        raise _unknown(need)
    await fetcher(endorser, need, rest.split(":"))


async def _tdx(endorser: MachineEndorser, need: str, words: list[str]) -> None:
    fmspc, *ca = words
    if not re.fullmatch(r"[0-9a-fA-F]{12}", fmspc) or ca not in ([], ["platform"], ["processor"]):
        raise _unknown(need)
    await endorser.tdx.get(CollateralNeed(fmspc, ca[0] if ca else "platform"))


async def _snp(endorser: MachineEndorser, need: str, words: list[str]) -> None:
    product, *key = words
    if product not in _PRODUCTS or key not in ([], ["vcek"], ["vlek"]):
        raise _unknown(need)
    await endorser.snp.issuers(product, key[0] if key else "vcek")


async def _vcek(endorser: MachineEndorser, need: str, words: list[str]) -> None:
    if len(words) != 3 or words[0] not in _PRODUCTS or not _CHIP.fullmatch(words[1]):
        raise _unknown(need)
    product, chip, levels = words
    numbers = [int(level) for level in levels.split(".") if re.fullmatch(r"[0-9]{1,3}", level)]
    if len(numbers) != len(levels.split(".")) or len(numbers) != (5 if product == "Turin" else 4) or max(numbers) > 255:
        raise _unknown(need)
    await endorser.snp.get(SnpNeed(product, (product,), chip.lower(), _reported_tcb(numbers), "vcek"))


def _reported_tcb(numbers: list[int]) -> bytes:
    """The eight bytes of a report with these numbers: AMD 56860, TCB_VERSION."""
    bootloader, tee, snp, microcode, *fmc = numbers
    return bytes((*fmc, bootloader, tee, snp, 0, 0, 0, microcode) if fmc else (bootloader, tee, 0, 0, 0, 0, snp, microcode))


async def _rim(endorser: MachineEndorser, need: str, words: list[str]) -> None:
    if len(words) != 1 or not re.fullmatch(r"[A-Z0-9][A-Za-z0-9._-]{0,127}", words[0]):
        raise _unknown(need)
    await endorser.nvidia.rims.get(words[0])


def _unknown(need: str) -> ConfigError:
    return ConfigError(f"{need[:80]!a} names no collateral", _MEND)


_FETCHERS: dict[str, Callable[[MachineEndorser, str, list[str]], Awaitable[None]]] = {"tdx": _tdx, "snp": _snp, "vcek": _vcek, "rim": _rim}
