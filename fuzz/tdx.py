"""Intel TDX: quote, collateral, and the quote's appraisal with either damaged."""

from collections.abc import Sequence
from functools import cache

import msgspec

from fuzz.target import Target, member, members
from fuzz.world import NOW, machine
from ollm.attest.checks import Trail
from ollm.attest.evidence import TdxCollateral
from ollm.attest.tdx import appraise, ccel, collateral, layout
from ollm.sim import reference
from ollm.values.policy import TdxPolicy

_MEMBERS = TdxCollateral.__struct_fields__


@cache
def _policy() -> TdxPolicy:
    return reference.policy([machine()]).tdx


@cache
def _collateral() -> TdxCollateral:
    return machine().collateral()


@cache
def _quotes() -> Sequence[bytes]:
    return machine().quote(bytes(range(64))), machine().quote_report(machine().td_report, version=5)


def _collateral_seeds() -> Sequence[bytes]:
    texts = (getattr(_collateral(), name) for name in _MEMBERS)
    return members([text.encode() if isinstance(text, str) else text for text in texts])


def _damaged_collateral(data: bytes) -> TdxCollateral:
    name, value = member(_MEMBERS, data)
    text = isinstance(getattr(_collateral(), name), str)
    return msgspec.structs.replace(_collateral(), **{name: value.decode("utf-8", "surrogateescape") if text else value})


def _appraised(quote: bytes, endorsed: TdxCollateral) -> object:
    return appraise.genuine_quote(Trail(appraise.plan(_policy(), compare=False)), quote, endorsed, _policy(), NOW)


@cache
def _measured() -> layout.TdReport:
    return layout.parse_quote(_quotes()[0]).td_report


def _firmware_log(data: bytes) -> object:
    return ccel.secure_boot(ccel.replay(ccel.parse(data), _measured()))


TARGETS = (
    Target("tdx-quote", layout.parse_quote, _quotes, recorded=("tdx/*.dat", "tdx/*.bin")),
    Target("tdx-quote-appraised", lambda data: _appraised(data, _collateral()), _quotes, recorded=("tdx/*.dat", "tdx/*.bin")),
    Target("tdx-collateral", lambda data: collateral.parse(_damaged_collateral(data)), _collateral_seeds, text=True),
    Target("tdx-collateral-appraised", lambda data: _appraised(_quotes()[0], _damaged_collateral(data)), _collateral_seeds, text=True),
    Target("ccel", _firmware_log, lambda: [machine().ccel], recorded=("dstack/*ccel*.bin", "tdx/*ccel*")),
)
