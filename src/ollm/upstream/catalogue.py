"""Fetching a provider's list of models: where it lies is the provider's profile, how it reads is `wire.catalogue`.

It is asked for over the very route that prompts take: a verified machine's own connections, or a certified one where nothing attests the
provider's key. So nobody is asked who wasn't verified, and nothing is followed elsewhere. It decides nothing.
"""

from typing import NamedTuple

from ollm.errors import UpstreamError
from ollm.net.pool import Pool
from ollm.upstream.asking import Heads
from ollm.wire.catalogue import MAX_LIST, Form, Offer, Rates, read

_TIMEOUT = 30.0  # seconds: headers, and between two reads
_MAX_PAGES = 50


class Source(NamedTuple):
    """Where a provider's list lies. `credential`: only where it is asked for one. `page`: entries that are asked for at a time."""

    form: Form
    target: str = "/v1/models"
    credential: bool = False
    page: int | None = None


class Listing(NamedTuple):
    """A source as one upstream asks it. `only`: the upstream reaches the models alone that the form's `serves` names so."""

    heads: Heads
    source: Source
    only: str | None = None


class Catalogue(NamedTuple):
    """A provider's list. `left_out`: entries without a name that can be shown; `complete` False: it has more than it told."""

    offers: tuple[Offer, ...]
    left_out: int
    complete: bool
    only: str | None = None

    def reached(self, offer: Offer) -> bool:
        """Whether the upstream that was asked can be sent requests for `offer`."""
        return self.only is None or offer.serves == self.only

    def find(self, name: str) -> Offer | None:
        """The model that the provider names `name`."""
        return next((offer for offer in self.offers if offer.id == name), None)


ENGINE = Form(serves="id")  # vLLM and its like list what they serve, without prices
# OpenRouter's form, which others took over. Its `image` is of one that goes in, its `image_output` nobody says of what: both are passed over.
PER_TOKEN = Rates(
    "token",
    "pricing.prompt",
    "pricing.completion",
    "pricing.input_cache_read",
    more=(
        ("cache_write", "pricing.input_cache_write"),
        ("cache_write_long", "pricing.input_cache_write_1h"),
        ("reasoning", "pricing.internal_reasoning"),
        ("audio_input", "pricing.audio"),
        ("audio_output", "pricing.audio_output"),
        ("image_input", "pricing.image_token"),
    ),
    fees=(("per_request", "pricing.request"),),
)


async def fetched(listing: Listing, pool: Pool) -> Catalogue:
    """The whole list, asked for on connections of `pool`. Raises: UpstreamError, ChannelRefused, WireError."""
    source, offers, left_out, offset = listing.source, dict[str, Offer](), 0, 0
    for _ in range(_MAX_PAGES):
        target = source.target if source.page is None else f"{source.target}?limit={source.page}&offset={offset}"
        page = read(source.form, await _got(pool, listing.heads, target, credential=source.credential), offset)
        known = len(offers)
        for offer in page.offers:
            offers.setdefault(offer.id, offer)
        left_out += page.entries - (len(offers) - known)
        offset += page.entries
        if not page.more or source.page is None or not page.entries:
            return Catalogue(tuple(offers.values()), left_out, not page.more, listing.only)
    return Catalogue(tuple(offers.values()), left_out, False, listing.only)


async def _got(pool: Pool, heads: Heads, target: str, *, credential: bool) -> bytes:
    connection = await pool.acquire()
    try:
        response = await connection.exchange(heads.get(target, credential=credential), b"", headers_timeout=_TIMEOUT, total_timeout=_TIMEOUT)
        if response.status != 200:  # a redirection too: what is asked lies where the profile says, or nowhere
            raise UpstreamError("headers", f"the list of models was answered {response.status}", status=response.status)
        return await response.read_all(MAX_LIST, _TIMEOUT)
    except BaseException:
        connection.abort(connection.phase, "given up")
        raise
    finally:
        pool.release(connection)
