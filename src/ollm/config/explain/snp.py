"""Sentences about AMD SEV-SNP."""

from collections.abc import Iterable

from ollm.config.explain.points import (
    Context,
    Said,
    Table,
    exposes,
    flag,
    given,
    holds,
    note,
    nothing,
    only,
    register,
    sets,
    weakens,
)
from ollm.values.policy import SnpGrace, SnpTcb


def _versions(tcb: SnpTcb, product: str) -> str:
    numbers = [f"{field} {getattr(tcb, field)}" for field in tcb.__struct_fields__ if field != "fmc" or product == "Turin"]
    return ", ".join(numbers)


def _products(products: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not products:
        yield nothing("it lists no product line of AMD's")
        return
    yield holds(f"an AMD processor of the line {' or '.join(products)}")
    if "Milan" in products:
        yield weakens("Milan is accepted: published work extracts signing keys of that line by software, after which a report proves nothing")


def _warned(warned: tuple[str, ...], context: Context) -> Iterable[Said]:
    accepted = tuple(product for product in warned if product in context.policy.snp.products)
    if accepted:
        yield holds(f"an acceptance on {' or '.join(accepted)} carries a warning")
    else:
        yield note("no acceptance carries a warning for its product line")


def _min_tcb(floors: dict[str, SnpTcb], context: Context) -> Iterable[Said]:
    for product, floor in floors.items():
        yield holds(f"firmware of {product} is at least {_versions(floor, product)}")
        if floor == SnpTcb():
            yield exposes(f"the least firmware of {product} is 0 in every part: any that AMD ever signed will do")
    bare = [product for product in context.policy.snp.products if product not in floors]
    if bare:
        yield exposes(
            f"no least firmware for {' and '.join(bare)}: any that AMD ever signed will do, with published flaws that let the host read memory"
            " (AMD has no TCB status as Intel has: set min_tcb)"
        )


def _grace(graces: tuple[SnpGrace, ...], context: Context) -> Iterable[Said]:
    if not graces:
        yield holds("no older firmware has a grace period")
    for grace in graces:
        older = f"older firmware of {grace.product} ({_versions(grace.min_tcb, grace.product)})"
        if context.today >= grace.until:
            yield holds(f"the grace for {older} ended on {grace.until} and has no effect any more ({grace.reason})")
        else:
            yield exposes(f"{older} is accepted until {grace.until} ({grace.reason})")


def _vmpls(levels: tuple[int, ...], context: Context) -> Iterable[Said]:
    if not levels:
        yield nothing("its list of VMPLs is empty")
        return
    yield holds(f"the report was asked for at VMPL {' or '.join(map(str, levels))}")
    if any(levels):
        yield weakens("software at a lower VMPL than the one that asked stands above it in the guest, and can read all that it reads")


REFERENCE_VALUES: Table = {
    "name": lambda value, context: (),  # stands before each sentence
    "source": lambda value, context: (holds(f'its values come from: "{value}"'),),
    "measurement": lambda value, context: (
        holds(f"the launch digest is {value[:16]}…: the guest's memory as it was at launch, its firmware above all"),
        note("the launch digest covers kernel, initrd and command line only where the firmware carries their hashes, and never what is loaded later"),
    ),
    "host_data": register("HOSTDATA", "what the host states at launch, where software looks for the hash of its configuration", absent=weakens),
    "id_key_digest": register("the ID key's digest", "who signed the launch", absent=note),
    "author_key_digest": register("the author key's digest", "who vouched for the ID key", absent=note),
    "family_id": register("the family id", "a name that the signer of the launch gave", absent=note),
    "image_id": register("the image id", "a name that the signer of the launch gave", absent=note),
    "min_guest_svn": given(
        absent=note("any version number that the signer of the launch gave will do"), present=holds("the launch has at least version number {}")
    ),
}

SNP: Table = {
    "simulated_root_sha256": given(
        absent=holds("an AMD SEV-SNP report, verified to AMD's root of the product line, which is compiled in"),
        present=holds("an SEV-SNP report under the simulated root {}, and none of AMD's"),
    ),
    "products": _products,
    "warned_products": _warned,
    "min_tcb": _min_tcb,
    "grace": _grace,
    "allow_vlek": flag(
        true=weakens("keys that AMD lent to a cloud provider (VLEK) are accepted: they name the provider, and no chip"),
        false=holds("the report is signed by the chip's own key (VCEK)"),
    ),
    "vlek_csp_ids": given(
        absent=holds("no cloud provider's key stands in for the chip's"), present=holds("a key lent to a cloud provider is one of: {}")
    ),
    "require_crl": flag(
        true=holds("AMD's revocation list is there, in date, and names none of the certificates"),
        false=weakens("AMD's revocation list is not demanded: a key that was revoked is accepted where the list is missing"),
    ),
    "vmpls": _vmpls,
    "allow_smt": flag(
        true=weakens("the guest may run with simultaneous multithreading: a sibling thread that the host schedules shares caches with it"),
        false=holds("the guest's policy forbids simultaneous multithreading"),
    ),
    "allow_migration_agent": flag(
        true=exposes("a migration agent may be bound to the guest: it can move the guest's memory to a machine that nobody attested"),
        false=holds("no migration agent is bound to the guest"),
    ),
    "require_single_socket": flag(
        true=holds("the guest's policy forbids to span sockets"),
        false=note("the guest may span sockets: the link between them is one more bus"),
    ),
    "chips": only(
        absent="any genuine AMD machine of these lines will do, wherever it stands: nothing says who can touch it, and keys can be drawn from a"
        " machine in hand (list chip ids in chips)",
        empty="its list of chips is empty",
        present="the processor is one of {} known ones, by chip id",
        cut=12,
    ),
    "reference_values": sets(REFERENCE_VALUES, lambda values: f'SEV-SNP build "{values.name}"'),
}
