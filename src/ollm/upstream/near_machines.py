"""Which machines of NEAR AI's have a model: their proxy says how many are healthy, and reaches each by a host of its own.

    GET https://{base}/backends/count?domain={label}.{base}    → {"healthy": 2, "total": 2, …}
    https://{label}-i{N}.{base}                                 a fresh connection to the N-th of them (modulo their number)

Nothing attests that proxy. Of its answer a number is taken, bounded by the configuration; hosts are made of the configured one, so its
domain can't be left. Which machine has which number changes when machines come and go: that shows in the key of the connection.

Source: nearai/cloud-api, crates/inference_providers/src/rotation.rs.
"""

from urllib.parse import urlencode, urlsplit

import msgspec

from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError, WireError
from ollm.ports import Fetch


class _Count(msgspec.Struct, frozen=True):
    healthy: int


class NearMachines:
    """Discovery of one upstream's machines."""

    def __init__(self, settings: UpstreamSettings, fetch: Fetch) -> None:
        split = urlsplit(settings.url)
        self._label, _, self._base = (split.hostname or "").partition(".")  # its form is checked where the configuration is read
        self._port = "" if split.port in (None, 443) else f":{split.port}"
        self._most = settings.max_machines or 1
        self._fetch = fetch

    async def urls(self) -> tuple[str, ...]:
        """A URL for each healthy machine, at most as many as configured; none where none is healthy. Raises: UpstreamError, WireError."""
        query = urlencode({"domain": f"{self._label}.{self._base}"})
        answer = await self._fetch.get(f"https://{self._base}{self._port}/backends/count?{query}")
        if answer.status != 200:
            raise UpstreamError("headers", f"the number of machines was answered {answer.status}", status=answer.status)
        try:
            healthy = msgspec.json.decode(answer.body, type=_Count).healthy
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise WireError("not a number of machines") from None
        return tuple(f"https://{self._label}-i{number}.{self._base}{self._port}" for number in range(min(healthy, self._most)))
