"""Detectors by the names that rules call them."""

from collections.abc import Mapping

from ollm.wire.detect.accounts import IBAN
from ollm.wire.detect.cards import PAYMENT_CARD
from ollm.wire.detect.contacts import EMAIL, IP, PHONE
from ollm.wire.detect.credentials import SECRET
from ollm.wire.detect.detector import Detector
from ollm.wire.detect.persons import PERSONS

TABLE: Mapping[str, Detector] = {
    "payment_card": PAYMENT_CARD,
    "iban": IBAN,
    "secret": SECRET,
    "email": EMAIL,
    "phone": PHONE,
    "ip": IP,
    **{f"national_id:{name}": detector for name, detector in PERSONS.items()},
}
