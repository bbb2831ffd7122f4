"""The providers that OLLM knows: one line each."""

from collections.abc import Callable

from ollm.config.settings import UpstreamSettings
from ollm.ports import Fetch
from ollm.upstream.aci import AciProvider
from ollm.upstream.chutes import ChutesProvider
from ollm.upstream.near import NearProvider
from ollm.upstream.near_machines import NearMachines
from ollm.upstream.phala import PhalaProvider
from ollm.upstream.privatemode import PrivatemodeProvider
from ollm.upstream.provider import Discovery, OpenProvider, Provider, Tools
from ollm.upstream.tinfoil import TinfoilProvider
from ollm.upstream.zdr import PROFILES, ZdrProvider
from ollm.values.secret import Sealed

PROVIDERS: dict[str, Callable[[UpstreamSettings, Sealed | None, Tools], Provider]] = {
    "aci": AciProvider,
    "chutes": ChutesProvider,
    "near": NearProvider,
    "phala": PhalaProvider,
    "privatemode": PrivatemodeProvider,
    "tinfoil": TinfoilProvider,
}
MACHINES: dict[str, Callable[[UpstreamSettings, Fetch], Discovery]] = {"near": NearMachines}  # those whose machines are found by themselves
OPEN: dict[str, Callable[[UpstreamSettings, Sealed | None], OpenProvider]] = dict.fromkeys(PROFILES, ZdrProvider)  # those without evidence
