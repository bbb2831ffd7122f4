"""Everything that the control plane is given: made once by the composition root, never reached for.

It shares the store with the data plane, and nothing else: the process that shows usage never holds a prompt.
"""

from collections.abc import Mapping

from ollm.admin.reporting import Reports
from ollm.config.settings import Settings
from ollm.ports import Clock
from ollm.store.sqlite import Store
from ollm.values.hexes import Sha256
from ollm.values.level import Level
from ollm.values.secret import Hidden


class Admin(Hidden, frozen=True):
    settings: Settings
    config_digest: Sha256
    store: Store
    reports: Reports
    pepper: bytes  # keys the HMAC of API keys
    clock: Clock
    levels: Mapping[str, Level]  # of each upstream, by its policy; zdr where it has none

    def __repr__(self) -> str:
        return "<Admin>"
