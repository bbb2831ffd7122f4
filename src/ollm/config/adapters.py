"""What the configuration must know of the providers' adapters; `upstream.registry` has one for each of these names."""

from typing import NamedTuple


class Traits(NamedTuple):
    """`evidence`: its machines are judged under a policy; else its level is zdr. `seals`: what `seal` may say beside nothing."""

    evidence: bool
    seals: tuple[str, ...] = ()


ADAPTERS: dict[str, Traits] = {
    "aci": Traits(evidence=True, seals=("ehbp", "tls")),
}
