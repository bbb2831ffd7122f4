"""Labelled texts for the detectors: numbers made with valid check digits, in the formats and contexts that people write, and look-alikes.

Every check digit is worked out here, by trying: a number is drawn, and its last characters are changed until the rule of the country or the
network holds, which is written here anew and not taken from the detectors. Look-alikes have the same shape and a wrong check digit, or are
what stands in ordinary texts: order numbers, hashes, times, versions, telephone numbers.
"""

import base64
import json
import random
import string
from collections.abc import Callable, Mapping
from typing import NamedTuple

CONTEXTS = (
    "{}",
    "My number is {}.",
    "Please check {} for me, thanks!",
    "ref: {}\nnext line",
    "<td>{}</td>",
    '{{"value": "{}"}}',
    "Kunde A, {}, seit 2019; ok",
    "({})",
    "Is {} right?",
    "first,{},last",
    "customer={}&page=2",
    "- {}\n- done",
)


class Sample(NamedTuple):
    """A text, and what in it is to be found; "" where nothing is."""

    text: str
    wanted: str


Draw = Callable[[random.Random], str]


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def _until(rng: random.Random, draw: Draw, holds: Callable[[str], bool]) -> str:
    while True:
        text = draw(rng)
        if holds(text):
            return text


def _luhn(text: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(text)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _iban_holds(text: str) -> bool:
    moved = text[4:] + text[:4]
    return int("".join(str(ord(c) - 55) if c.isalpha() else c for c in moved)) % 97 == 1


def _day(rng: random.Random, form: str) -> str:
    year, month, day = rng.randint(1940, 1999), rng.randint(1, 12), rng.randint(1, 28)
    return form.format(yyyy=year, yy=f"{year % 100:02}", mm=f"{month:02}", dd=f"{day:02}")


# --- numbers of persons -------------------------------------------------------------------------------------------------


def _be(text: str) -> bool:
    return int(text[9:]) in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97)  # born before 2000, or since


def _br(text: str) -> bool:
    def check(head: str) -> int:
        rest = sum(int(d) * (len(head) + 1 - i) for i, d in enumerate(head)) % 11
        return 0 if rest < 2 else 11 - rest

    return check(text[:9]) == int(text[9]) and check(text[:10]) == int(text[10])


def _ean(text: str) -> bool:
    return (10 - sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(text[:12])) % 10) % 10 == int(text[12])


def _cn(text: str) -> bool:
    total = sum(int(d) * w for d, w in zip(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return "10X98765432"[total % 11] == text[17]


def _de(text: str) -> bool:
    product = 10
    for digit in text[:10]:
        total = (int(digit) + product) % 10
        product = (total or 10) * 2 % 11
    return (11 - product) % 10 == int(text[10])


def _de_draw(rng: random.Random) -> str:
    digits = rng.sample("0123456789", 9)
    digits.insert(rng.randint(0, 9), rng.choice(digits))  # one of them twice
    return _digits(rng, 11) if digits[0] == "0" else "".join(digits) + rng.choice(string.digits)


def _de_form(text: str) -> bool:
    head = text[:10]
    counts = sorted(head.count(d) for d in set(head))
    return text[0] != "0" and counts[-1] == 2 and counts.count(2) == 1 and len(set(head)) == 9


def _es(text: str) -> bool:
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def _fi(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10]


def _fr(text: str) -> bool:
    return 97 - int(text[:13]) % 97 == int(text[13:])


def _verhoeff(text: str) -> bool:
    table = "0123456789123406789523401789563401289567401239567859876043216598710432765982104387659321049876543210"
    check = 0
    rows = ["0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"]
    for place, digit in enumerate(reversed(text)):
        check = int(table[10 * check + int(rows[place % 8][int(digit)])])
    return check == 0


_ODD_DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD_LETTERS = (*_ODD_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD = dict(zip(string.digits + string.ascii_uppercase, _ODD_DIGITS + _ODD_LETTERS, strict=True))


def _it(text: str) -> bool:
    total = sum(_ODD[c] if place % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for place, c in enumerate(text[:15]))
    return chr(65 + total % 26) == text[15]


def _nl(text: str) -> bool:
    return sum(int(d) * w for d, w in zip(text, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True)) % 11 == 0


def _pl(text: str) -> bool:
    return (10 - sum(int(d) * w for d, w in zip(text[:10], (1, 3, 7, 9) * 3, strict=False)) % 10) % 10 == int(text[10])


class Kind(NamedTuple):
    """How a detector's numbers are drawn, when they hold, and how they are written. `{}` of a context gets `word` before the number."""

    draw: Draw
    holds: Callable[[str], bool]
    forms: tuple[Callable[[str], str], ...]
    word: str = ""


def _plain(text: str) -> str:
    return text


def _cut(*sizes: int, by: str = " ") -> Callable[[str], str]:
    def form(text: str) -> str:
        pieces, at = [], 0
        for size in sizes:
            pieces.append(text[at : at + size])
            at += size
        return by.join(pieces)

    return form


def _grouped(text: str) -> str:
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


_LETTERS = string.ascii_uppercase
_BANKS: Mapping[str, str] = {
    "DE": "d" * 18,
    "ES": "d" * 20,
    "FR": "d" * 23,
    "GB": "a" * 4 + "d" * 14,
    "NL": "a" * 4 + "d" * 10,
    "NO": "d" * 11,
    "PL": "d" * 24,
}
_CARDS = (("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3530", 16), ("62", 16), ("36", 14))


def _iban(rng: random.Random) -> str:
    country = rng.choice(sorted(_BANKS))
    body = "".join(rng.choice(_LETTERS) if kind == "a" else rng.choice(string.digits) for kind in _BANKS[country])
    check = 98 - int("".join(str(ord(c) - 55) if c.isalpha() else c for c in body + country + "00")) % 97
    return f"{country}{check:02}{body}"


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice(_CARDS)
    return prefix + _digits(rng, length - len(prefix))


def _card_groups(by: str) -> Callable[[str], str]:
    return lambda text: (_cut(4, 6, 5, by=by) if len(text) == 15 else _cut(4, 6, 4, by=by) if len(text) == 14 else _cut(4, 4, 4, 4, by=by))(text)


def _nino(rng: random.Random) -> str:
    return rng.choice("ABCEGHJKLMPRSTWXYZ") + rng.choice("ABCEGHJKLMPRSTWXYZ") + _digits(rng, 6) + rng.choice("ABCD")


KINDS: Mapping[str, Kind] = {
    "payment_card": Kind(_card, _luhn, (_plain, _card_groups(" "), _card_groups("-"), _card_groups("\u00a0"))),
    "iban": Kind(_iban, _iban_holds, (_plain, _grouped, str.lower)),
    "national_id:be_rrn": Kind(
        lambda r: _day(r, "{yy}{mm}{dd}") + _digits(r, 5), _be, (_plain, lambda t: f"{t[:2]}.{t[2:4]}.{t[4:6]}-{t[6:9]}.{t[9:]}")
    ),
    "national_id:br_cpf": Kind(lambda r: _digits(r, 11), _br, (_plain, lambda t: f"{t[:3]}.{t[3:6]}.{t[6:9]}-{t[9:]}")),
    "national_id:ca_sin": Kind(lambda r: r.choice("12345679") + _digits(r, 8), _luhn, (_cut(3, 3, 3), _cut(3, 3, 3, by="-"), lambda t: f"SIN {t}")),
    "national_id:ch_ahv": Kind(lambda r: "756" + _digits(r, 10), _ean, (_plain, _cut(3, 4, 4, 2, by="."))),
    "national_id:cn_ric": Kind(
        lambda r: f"1101{_digits(r, 2)}{_day(r, '{yyyy}{mm}{dd}')}{_digits(r, 3)}{r.choice('0123456789X')}", _cn, (_plain, str.lower)
    ),
    "national_id:de_steuer_id": Kind(_de_draw, lambda t: _de_form(t) and _de(t), (_plain, _cut(2, 3, 3, 3))),
    "national_id:es_dni": Kind(
        lambda r: r.choice(string.digits + "XYZ") + _digits(r, 7) + r.choice(_LETTERS), _es, (_plain, lambda t: f"{t[:-1]}-{t[-1]}")
    ),
    "national_id:fi_hetu": Kind(lambda r: f"{_day(r, '{dd}{mm}{yy}')}-{_digits(r, 3)}{r.choice('0123456789ABCDEFHJKLMNPRSTUVWXY')}", _fi, (_plain,)),
    "national_id:fr_nir": Kind(
        lambda r: r.choice("12") + _day(r, "{yy}{mm}") + f"{r.randint(1, 95):02}" + _digits(r, 6) + f"{r.randint(1, 97):02}",
        _fr,
        (_plain, _cut(1, 2, 2, 2, 3, 3, 2)),
    ),
    "national_id:in_aadhaar": Kind(
        lambda r: r.choice("23456789") + _digits(r, 11), _verhoeff, (_cut(4, 4, 4), _cut(4, 4, 4, by="-"), lambda t: f"Aadhaar: {t}")
    ),
    "national_id:it_cf": Kind(
        lambda r: (
            f"{_of(r, _LETTERS, 6)}{_digits(r, 2)}{r.choice('ABCDEHLMPRST')}{_digits(r, 2)}{_of(r, _LETTERS, 1)}{_digits(r, 3)}{_of(r, _LETTERS, 1)}"
        ),
        _it,
        (_plain, str.lower),
    ),
    "national_id:nl_bsn": Kind(lambda r: _digits(r, 9), _nl, (lambda t: f"BSN {t}", lambda t: f"burgerservicenummer: {t}", _cut(4, 2, 3, by="."))),
    "national_id:pl_pesel": Kind(lambda r: _day(r, "{yy}{mm}{dd}") + _digits(r, 5), _pl, (_plain,)),
    "national_id:se_personnummer": Kind(
        lambda r: _day(r, "{yy}{mm}{dd}") + _digits(r, 4), _luhn, (_cut(6, 4, by="-"), lambda t: "19" + t, lambda t: f"19{t[:6]}-{t[6:]}")
    ),
    "national_id:uk_nino": Kind(_nino, lambda t: t[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"), (_plain, _cut(2, 2, 2, 2, 1))),
    "national_id:us_ssn": Kind(
        lambda r: f"{r.randint(1, 665):03}{r.randint(1, 99):02}{r.randint(1, 9999):04}",
        lambda t: t != "123456789",
        (_cut(3, 2, 4, by="-"), _cut(3, 2, 4)),
    ),
}


# --- secrets and contacts -----------------------------------------------------------------------------------------------

_BASE64URL = string.ascii_letters + string.digits + "-_"


def _of(rng: random.Random, characters: str, count: int) -> str:
    return "".join(rng.choice(characters) for _ in range(count))


def _jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': _digits(rng, 8)})}.{_of(rng, _BASE64URL, 43)}"


def secret(rng: random.Random) -> str:
    """A credential of one of the known forms, drawn at random: none of them was ever issued."""
    alnum = string.ascii_letters + string.digits
    makers: tuple[Callable[[], str], ...] = (
        lambda: "AK" + "IA" + _of(rng, string.ascii_uppercase + "234567", 16),
        lambda: "gh" + "p_" + _of(rng, alnum, 36),
        lambda: "gl" + "pat-" + _of(rng, alnum, 20),
        lambda: "xox" + "b-" + _digits(rng, 12) + "-" + _of(rng, alnum, 24),
        lambda: "sk_" + "live_" + _of(rng, alnum, 24),
        lambda: "sk-ollm-" + _of(rng, "abcdefghijklmnopqrstuvwxyz234567", 16) + "-" + _of(rng, _BASE64URL, 43),
        lambda: "sk-" + "proj-" + _of(rng, alnum, 48),
        lambda: "AI" + "za" + _of(rng, alnum, 35),
        lambda: "h" + "f_" + _of(rng, string.ascii_letters, 34),
        lambda: _jwt(rng),
        lambda: f"-----BEGIN {rng.choice(('', 'RSA ', 'EC '))}PRIVATE KEY-----\n{_of(rng, alnum, 64)}\n-----END PRIVATE KEY-----",
    )
    return rng.choice(makers)()


def email(rng: random.Random) -> str:
    name = _of(rng, string.ascii_lowercase, 6) + rng.choice(("", ".x", "+tag", "_1"))
    return f"{name}@{_of(rng, string.ascii_lowercase, 7)}.{rng.choice(('com', 'co.uk', 'de', 'example.org'))}"


def phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"+49 {rng.randint(30, 89)} {rng.randint(1000000, 9999999)}",
            f"+1 415-555-{rng.randint(1000, 9999)}",
            f"({rng.randint(212, 989)}) {rng.randint(222, 999)}-{rng.randint(1000, 9999)}",
            f"+44 20 7946 {rng.randint(1000, 9999)}",
            f"+33{rng.randint(100000000, 799999999)}",
        )
    )


def ip(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))
    return f"2001:db8:{rng.randint(1, 0xFFFF):x}::{rng.randint(1, 0xFFFF):x}"


SHAPES: Mapping[str, Draw] = {"secret": secret, "email": email, "phone": phone, "ip": ip}


# --- look-alikes --------------------------------------------------------------------------------------------------------


def everyday(rng: random.Random) -> str:
    """What stands in ordinary texts and looks like a number of somebody, or a key."""
    makers: tuple[Callable[[], str], ...] = (
        lambda: f"order {_digits(rng, 7)}",
        lambda: f"sha256:{_of(rng, '0123456789abcdef', 64)}",
        lambda: "-".join(_of(rng, "0123456789abcdef", size) for size in (8, 4, 4, 4, 12)),
        lambda: _day(rng, "{yyyy}-{mm}-{dd}T10:00:00Z"),
        lambda: f"17{_digits(rng, 8)}",
        lambda: f"v{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}",
        lambda: f"{rng.randint(1, 99)}.{rng.randint(100, 999)}.{rng.randint(100, 999)},00 EUR",
        lambda: f"{rng.random():.16f}",
        lambda: f"chapter {rng.randint(1, 9)}, page {rng.randint(10, 400)}",
        lambda: f"https://example.com/item/{_digits(rng, 6)}?utm={_of(rng, string.ascii_lowercase, 5)}",
        lambda: "std::vector<int> a; x[1:2]; 12:30:45",
        lambda: "sk-learn, hf_model, npm_config_cache, gh_pages",
    )
    return rng.choice(makers)()


def samples(name: str, count: int, seed: int) -> list[Sample]:
    """`count` texts with something to find and as many without, for the detector `name`; the same for the same seed."""
    rng = random.Random(f"{name}/{seed}")  # noqa: S311 - repeatable samples, no secrets
    found: list[Sample] = []
    for _ in range(count):
        context = rng.choice(CONTEXTS)
        if name in SHAPES:
            wanted = SHAPES[name](rng)
            found.append(Sample(context.format(wanted), wanted))
            found.append(Sample(context.format(everyday(rng)), ""))
            continue
        kind = KINDS[name]
        number, form = _until(rng, kind.draw, kind.holds), rng.choice(kind.forms)
        written = form(number)
        found.append(Sample(context.format(written), written.rpartition(": ")[2].removeprefix("SIN ").removeprefix("BSN ")))
        wrong = _wrong(rng, kind)
        found.append(Sample(context.format(form(wrong) if wrong and rng.random() < 0.6 else everyday(rng)), ""))
    return found


def _wrong(rng: random.Random, kind: Kind) -> str:
    """A number of the same shape whose check fails; "" where there is none to fail."""
    for _ in range(50):
        number = _until(rng, kind.draw, kind.holds)
        place = rng.randrange(len(number))
        if number[place].isdigit():
            changed = number[:place] + str((int(number[place]) + rng.randint(1, 9)) % 10) + number[place + 1 :]
            if not kind.holds(changed):
                return changed
    return ""
