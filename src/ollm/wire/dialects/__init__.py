"""Dialects: a client asks in one API, the provider of the model speaks another. docs/reference/dialects.md says what survives.

Every API has four modules: `reading` makes a `Conversation` of a client's request, `asking` makes a provider's request of it, `hearing`
makes an `Answer`, or the pieces of one, of what the provider says, `telling` makes a client's answer of that. `Translation` joins two.
Nothing is lost silently: what a module can't carry over it refuses by name, or its table says why the meaning stays.
"""

from collections.abc import Mapping

from ollm.wire.dialects import sides
from ollm.wire.dialects.dialect import Dialect, Side, Translation

SIDES: Mapping[str, Side] = {side.endpoint: side for side in (sides.CHAT, sides.MESSAGES, sides.RESPONSES)}

# By what the client asked, and what the provider is asked.
DIALECTS: Mapping[tuple[str, str], Dialect] = {
    (client.endpoint, provider.endpoint): Translation(client, provider)
    for client in SIDES.values()
    for provider in SIDES.values()
    if client != provider
}
