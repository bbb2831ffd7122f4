"""What is recognised and not judged is refused by name, with a reason; what is judged passes."""

import pytest

from ollm.attest.kinds import Kind, Recognised
from ollm.attest.tokens import unsupported
from ollm.errors import EvidenceRefused


@pytest.mark.parametrize("kind", unsupported.SUPPORTED)
def test_what_is_judged_passes(kind: Kind) -> None:
    unsupported.check_supported(Recognised(kind=kind))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in unsupported.SUPPORTED])
def test_every_other_kind_is_refused_by_name_and_told_what_instead(kind: Kind) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        unsupported.check_supported(Recognised(kind=kind))
    assert refusal.value.check in unsupported.CHECKS
    assert refusal.value.got == kind.value
    assert refusal.value.want


def test_a_clouds_token_is_refused_for_being_a_clouds_word() -> None:
    with pytest.raises(EvidenceRefused, match=r"Google Confidential Space token, want the machine's own quote or report"):
        unsupported.check_supported(Recognised(kind=Kind.GOOGLE))
