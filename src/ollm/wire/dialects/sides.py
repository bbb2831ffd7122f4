"""The APIs between which is translated."""

from ollm.wire.dialects.chat import asking as chat_asking
from ollm.wire.dialects.chat import hearing as chat_hearing
from ollm.wire.dialects.chat import reading as chat_reading
from ollm.wire.dialects.chat import telling as chat_telling
from ollm.wire.dialects.dialect import Side
from ollm.wire.dialects.messages import asking as messages_asking
from ollm.wire.dialects.messages import hearing as messages_hearing
from ollm.wire.dialects.messages import reading as messages_reading
from ollm.wire.dialects.messages import telling as messages_telling
from ollm.wire.dialects.responses import asking as responses_asking
from ollm.wire.dialects.responses import hearing as responses_hearing
from ollm.wire.dialects.responses import reading as responses_reading
from ollm.wire.dialects.responses import telling as responses_telling

CHAT = Side(
    endpoint="chat.completions",
    reads=chat_reading.READS,
    writes=chat_asking.WRITES,
    read=chat_reading.read,
    ask=chat_asking.ask,
    hear=chat_hearing.hear,
    hearer=chat_hearing.ChatHearer,
    tell=chat_telling.tell,
    teller=chat_telling.ChatTeller,
)
MESSAGES = Side(
    endpoint="messages",
    reads=messages_reading.READS,
    writes=messages_asking.WRITES,
    read=messages_reading.read,
    ask=messages_asking.ask,
    hear=messages_hearing.hear,
    hearer=messages_hearing.MessagesHearer,
    tell=messages_telling.tell,
    teller=messages_telling.MessagesTeller,
)
RESPONSES = Side(
    endpoint="responses",
    reads=responses_reading.READS,
    writes=responses_asking.WRITES,
    read=responses_reading.read,
    ask=responses_asking.ask,
    hear=responses_hearing.hear,
    hearer=responses_hearing.ResponsesHearer,
    tell=responses_telling.tell,
    teller=responses_telling.ResponsesTeller,
)
