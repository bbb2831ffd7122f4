"""What a whole answer used: the provider's count, the tier that it names, and what is counted in its body."""

from collections.abc import Mapping

import msgspec

from ollm.values.usage import Usage
from ollm.wire.endpoints import Endpoint
from ollm.wire.usage import duration_usage, pictures_in, tier_of


def used(endpoint: Endpoint, members: Mapping[str, msgspec.Raw]) -> Usage | None:
    """What the answer with these members used; None where it doesn't say. Pictures are counted, whether or not it has token counts."""
    tier = tier_of(members.get("service_tier"))
    raw = members.get("usage")
    usage = endpoint.usage(raw, tier) if raw is not None else None
    if endpoint.pictures and (made := pictures_in(members.get("data"))):
        return msgspec.structs.replace(usage or Usage(tier=tier), images=made)
    if usage is None and endpoint.heard:
        return duration_usage(members.get("duration"), tier)
    return usage
