"""`make captures`: every recorded verification of a live provider, repeated offline, ends as docs/providers/ says; changed, it is refused.

The recordings lie outside the project (OLLM_EVIDENCE_DIR/captures). For each folder, tests/captures/PROVIDER.toml (PROVIDER as its manifest
names it) is a configuration whose upstreams judge it; the policy's reference values are drafted from the recording itself, which shows that
they are compared, not that they are good. What must come out stands in the pages of the providers, in tables of this form:

    | capture | verdict | check |
    |---|---|---|
    | `folder` | accept | |
    | `folder@upstream` | refuse | `tinfoil.nonce` |

`@upstream` names another upstream of the configuration than the first. PROVIDER.changes.toml says what is changed then, one thing at a time,
and which check must refuse it. Ends 0 only when everything agrees, and every folder is spoken of.
"""

import asyncio
import datetime
import logging
import os
import re
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.utils import CryptographyDeprecationWarning

from ollm.app.build import verification
from ollm.app.collateral import Collateral
from ollm.app.recording import replay
from ollm.attest.evidence import MachineEvidence
from ollm.attest.services import door
from ollm.cli.logs import AMD_SERIAL
from ollm.config.draft.document import draft
from ollm.config.draft.writing import Source
from ollm.config.load import Loaded, load
from ollm.config.policy_file import read_document
from ollm.errors import ConfigError, EvidenceRefused, UpstreamError
from ollm.net.clock import StandingClock
from ollm.net.tape import Manifest, Recorded, ReplayingFetch, Tape, recorded_in
from ollm.upstream.taped import replaying
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy
from ollm.values.secret import Sealed
from tools.capture_changes import Change, changed
from tools.capture_lines import missing_lines

ROOT = Path(__file__).parent.parent
_LAST = "channel.spki"  # the last check of most shapes; refuses recordings that lack the key of the connection
_ROW = re.compile(r"^\| `([^`|]+)` \| (accept|refuse) \| (?:`([^`|]+)`)?[^|]*\|", re.MULTILINE)


class Expected(NamedTuple):
    """A row of a provider's page. `check` None: accepted."""

    folder: str
    upstream: str | None
    check: str | None
    page: str


class Case(NamedTuple):
    """One recording under one upstream of its configuration."""

    loaded: Loaded
    upstream: str
    manifest: Manifest
    recorded: list[Recorded]

    def appraisal(self) -> Appraisal:
        return asyncio.run(replay(self.loaded, self.upstream, Tape(self.manifest, list(self.recorded)))).appraisal


class Result(NamedTuple):
    """Something that was tried, what had to come out, and what did."""

    what: str
    wanted: str
    got: str
    detail: str = ""

    @property
    def agrees(self) -> bool:
        return self.got in self.wanted.split(" | ")


def expectations(root: Path) -> list[Expected]:
    """What the pages of the providers say."""
    found = []
    for page in sorted((root / "docs/providers").glob("*.md")):
        for name, verdict, check in _ROW.findall(page.read_text(encoding="utf-8")):
            folder, _, upstream = name.partition("@")
            found.append(Expected(folder, upstream or None, check if verdict == "refuse" else None, page.name))
    return found


def case_of(folder: Path, root: Path, upstream: str | None) -> Case:
    """The recording in `folder`, with the policy that judges it. Raises: ConfigError."""
    manifest, recorded = recorded_in(folder)
    loaded = load(root / f"tests/captures/{manifest.provider}.toml")
    name = upstream or next(iter(loaded.settings.upstreams))
    if name not in loaded.settings.upstreams:
        raise ConfigError(f"{manifest.provider}.toml has no upstream {name!a}", "name one that it has")
    settings = loaded.settings
    chosen = settings.upstreams[name]
    if chosen.policy is None:
        raise ConfigError(f"{manifest.provider}.toml: {name} has no policy", "name one")
    machines = asyncio.run(_machines(Case(loaded, name, manifest, recorded)))
    policy = with_reference_values(settings.policies[chosen.policy], machines)
    settings = msgspec.structs.replace(settings, policies={**settings.policies, chosen.policy: policy})
    return Case(msgspec.structs.replace(loaded, settings=settings), name, manifest, recorded)


async def _machines(case: Case) -> tuple[MachineEvidence, ...]:
    """The machines that a recording is of; none where it can't be read."""
    tape, moment = Tape(case.manifest, list(case.recorded)), case.manifest.moment
    collateral = Collateral(case.loaded, ReplayingFetch(tape), StandingClock(moment), read_only=True, shelved=False)
    provider = verification(case.loaded, case.upstream, collateral, moment, replaying(tape), Sealed(b"replayed")).provider
    try:
        return door.machines((await provider.gather(case.manifest.nonce)).evidence, provider.demand)
    except (EvidenceRefused, UpstreamError):
        return ()
    finally:
        await collateral.close()


def with_reference_values(policy: AttestationPolicy, machines: Sequence[MachineEvidence]) -> AttestationPolicy:
    """`policy` with the measurements of `machines` as reference values, in each of its tables that has none."""
    if not machines:
        return policy
    sources = [Source("recording", "0" * 64, machine.cpu) for machine in machines]
    with tempfile.TemporaryDirectory() as folder:  # no loader takes a draft but the one that explains it
        file = Path(folder) / "capture.toml"
        file.write_text(draft(sources, name="capture", today=datetime.date(2026, 1, 1)), encoding="utf-8")
        drafted = read_document(file).policy
    service, tdx = policy.service, drafted.tdx.reference_values
    if service.gateway_tdx is not None and not service.gateway_tdx.reference_values:
        service = msgspec.structs.replace(service, gateway_tdx=msgspec.structs.replace(service.gateway_tdx, reference_values=tdx))
    return msgspec.structs.replace(
        policy,
        tdx=msgspec.structs.replace(policy.tdx, reference_values=policy.tdx.reference_values or tdx),
        snp=msgspec.structs.replace(policy.snp, reference_values=policy.snp.reference_values or drafted.snp.reference_values),
        service=service,
    )


def changes_of(root: Path, provider: str) -> list[Change]:
    """What is changed in recordings of `provider`, and which check must see it."""
    file = root / f"tests/captures/{provider}.changes.toml"
    tree = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return msgspec.convert(tree.get("change", []), list[Change])


def results(place: Path, root: Path) -> list[Result]:
    """Everything that is tried with the recordings in `place`."""
    expected, found = expectations(root), []
    for folder in sorted(each for each in place.iterdir() if each.is_dir()):
        rows = [row for row in expected if row.folder == folder.name]
        if not rows:
            found.append(Result(folder.name, "a row in docs/providers", "none"))
        asked: set[str] = set()  # by any of the policies that judge the recording
        for row in rows:
            found += _row(folder, row, root, asked)
        found += _lines(folder, rows, asked, root)
    names = {folder.name for folder in place.iterdir()}
    found += [Result(f"{row.page}: {row.folder}", "a recording of this name", "none") for row in expected if row.folder not in names]
    return found


def _row(folder: Path, row: Expected, root: Path, asked: set[str]) -> list[Result]:
    name = f"{row.folder}@{row.upstream}" if row.upstream else row.folder
    try:
        case = case_of(folder, root, row.upstream)
    except ConfigError as problem:
        return [Result(name, row.check or "accept", f"unusable: {problem.cause}")]
    appraisal = case.appraisal()
    asked.update(check.name for check in appraisal.checks)
    found = [Result(name, row.check or "accept", *_verdict(appraisal))]
    if appraisal.accepted or row.check == _LAST:  # then everything before it was passed, and a change has to be seen there
        found += [_changed(case, change, name) for change in changes_of(root, case.manifest.provider) if change.applies(row.folder, row.upstream)]
    return found


def _lines(folder: Path, rows: Sequence[Expected], asked: set[str], root: Path) -> list[Result]:
    """What another verifier enforced of the recording, and neither a check nor a page of ours answers."""
    report = folder / "report.txt"
    if not report.is_file() or not rows:
        return []
    pages = "".join((root / "docs/providers" / row.page).read_text(encoding="utf-8") for row in rows)
    missing = missing_lines(report.read_text(encoding="utf-8"), asked, pages)
    return [Result(f"{folder.name}: {line}", "a check, or its reason in the page", "neither") for line in missing]


def _changed(case: Case, change: Change, name: str) -> Result:
    what, wanted = f"{name}: {change.what} changed", " | ".join(change.check)
    try:
        manifest, recorded = changed(case.manifest, case.recorded, change)
    except ConfigError as problem:
        return Result(what, wanted, f"unusable: {problem.cause}")
    return Result(what, wanted, *_verdict(case._replace(manifest=manifest, recorded=recorded).appraisal()))


def _verdict(appraisal: Appraisal) -> tuple[str, str]:
    failure = appraisal.failure
    return ("accept", "") if failure is None else (failure.name, f"got {failure.got}, want {failure.want}")


def main(root: Path = ROOT) -> int:
    """Try everything; the exit status."""
    place = os.environ.get("OLLM_EVIDENCE_DIR")
    if not place:
        print("no recorded verifications: set OLLM_EVIDENCE_DIR to the folder that has captures/", file=sys.stderr)
        return 2
    logging.getLogger("ollm").setLevel(logging.ERROR)  # what a recording lacks shows in its verdict
    warnings.filterwarnings("ignore", message=AMD_SERIAL, category=CryptographyDeprecationWarning)
    found = results(Path(place) / "captures", root)
    for each in found:
        told = each.got if each.agrees else f"{each.got} {each.detail[:200]}, expected {each.wanted}"
        print(f"{'agrees ' if each.agrees else 'DIFFERS'} {each.what}: {told}")
    differing = sum(not each.agrees for each in found)
    print(f"{len(found)} tried, {len(found) - differing} agree")
    return 1 if differing or not found else 0


if __name__ == "__main__":
    sys.exit(main())
