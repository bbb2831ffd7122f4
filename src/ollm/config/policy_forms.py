"""How each text and number of a policy is spelled. Comparisons in appraisal are exact, so another spelling would silently accept nothing.

Every field that holds text or a whole number has an entry: a test walks the structs of `values/policy.py` and looks for what is missing.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ollm.errors import ConfigError
from ollm.values import policy, provenance

# Intel, TCB Info of the PCS API v4 (`tcbStatus`), and Intel's quote verification library, which adds the two of a TD that should be
# launched anew. `Revoked` is missing on purpose: keys of a revoked platform are known to others.
TCB_STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
)
SNP_PRODUCTS = ("Milan", "Genoa", "Turin")
ARCHITECTURES = ("Hopper", "Blackwell")
TECHNOLOGIES = ("tdx", "sev-snp", "nitro")


class Form(msgspec.Struct, frozen=True):
    """`what` completes "it must be …"; `pattern` is matched against the whole text."""

    what: str
    pattern: re.Pattern[str]
    mend: str = "correct it"


class Range(msgspec.Struct, frozen=True):
    low: int
    high: int


def _hex(length: int, what: str) -> Form:
    return Form(f"{length} lowercase hexadecimal characters: {what}", re.compile(rf"[0-9a-f]{{{length}}}"))


def _one_of(names: tuple[str, ...]) -> Form:
    return Form(f"one of {', '.join(names)}", re.compile("|".join(map(re.escape, names))))


_ANY = Form("any text", re.compile(".*", re.DOTALL))  # judged elsewhere: by its type, or by `policy_rules`
_TEXT = Form("a text of at most 1000 characters that says something", re.compile(r"\s*\S.{0,999}", re.DOTALL))
_REGISTER = _hex(96, "a measurement (SHA-384)")
_DIGEST = _hex(64, "a SHA-256")
_ROOT = _hex(64, "the SHA-256 of a root")
_STATUS = Form(f"one of {', '.join(TCB_STATUSES)}", _one_of(TCB_STATUSES).pattern, "Intel's own spelling; Revoked can't be accepted at all")
_ADVISORY = Form("an Intel advisory, INTEL-SA-00000", re.compile(r"(?:INTEL|SIMULATED)-SA-\d{5}"))  # the other word is `ollm sim`'s
_PRODUCT = _one_of(SNP_PRODUCTS)
_DRIVER = Form("a driver version, 550.90.07", re.compile(r"\d{1,5}(\.\d{1,5}){1,3}"))
_VBIOS = Form("a VBIOS version as the report spells it, 96.00.9F.00.01", re.compile(r"[0-9A-Fa-f]{2}(\.[0-9A-Fa-f]{2}){4}"))
_REPOSITORY = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}"
_WORKFLOW = r"\.github/workflows/[A-Za-z0-9._-]+\.ya?ml"
_REF = r"refs/(?:[A-Za-z0-9._+@-]+/)*(?:[A-Za-z0-9._+@-]+\*?|\*)"
_SVN32 = Range(0, 2**32 - 1)
_SVN8 = Range(0, 255)
_COUNT = Range(0, 1024)
_SECONDS = Range(1, 10 * 366 * 86400)

FORMS: dict[type[msgspec.Struct], dict[str, Form | Range]] = {
    policy.AttestationPolicy: {"name": _ANY, "level": _ANY, "reviewed": _TEXT, "cpu": _ANY, "max_keyset_seconds": _SECONDS},
    policy.TdxPolicy: {
        "simulated_root_sha256": _ROOT,
        "accepted_tcb_status": _STATUS,
        "min_tcb_evaluation_data_number": _SVN32,
        "rejected_advisories": _ADVISORY,
        "platforms": _hex(32, "a PPID"),
    },
    policy.Grace: {"status": _STATUS, "reason": _TEXT},
    policy.TdxReferenceValues: {
        "name": _TEXT,
        "source": _TEXT,
        **dict.fromkeys(("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config"), _REGISTER),
        "compose_hashes": _DIGEST,
        "os_image_hashes": _DIGEST,
    },
    policy.SnpPolicy: {
        "simulated_root_sha256": _hex(64, "the SHA-256 of a root's public key"),
        "products": _PRODUCT,
        "warned_products": _PRODUCT,
        "vlek_csp_ids": Form("a cloud provider as the VLEK names it, CN=cc-us-east-2.amazonaws.com", re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")),
        "vmpls": Range(0, 3),
        "chips": _hex(128, "a chip id"),
    },
    policy.SnpTcb: dict.fromkeys(("bootloader", "tee", "snp", "microcode", "fmc"), _SVN8),
    policy.SnpGrace: {"product": _PRODUCT, "reason": _TEXT},
    policy.SnpReferenceValues: {
        "name": _TEXT,
        "source": _TEXT,
        "measurement": _REGISTER,
        "host_data": _hex(64, "host data"),
        "id_key_digest": _hex(96, "a SHA-384 of the ID key"),
        "author_key_digest": _hex(96, "a SHA-384 of the author key"),
        "family_id": _hex(32, "a family id"),
        "image_id": _hex(32, "an image id"),
        "min_guest_svn": _SVN32,
    },
    policy.NitroPolicy: {
        "simulated_root_sha256": _ROOT,
        "max_age_seconds": Range(1, 3 * 3600),  # a document's certificate holds for about three hours
        "modules": Form("the id of an EC2 instance, i-0123456789abcdef0", re.compile(r"i-[0-9a-f]{8,17}")),
    },
    policy.NitroReferenceValues: {
        "name": _TEXT,
        "source": _TEXT,
        **dict.fromkeys(("pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr8", "pcr16"), _REGISTER),
    },
    policy.NvidiaPolicy: {
        "simulated_root_sha256": _ROOT,
        "simulated_rim_root_sha256": _ROOT,
        "min_gpus": _COUNT,
        "min_switches": _COUNT,
        "architectures": _one_of(ARCHITECTURES),
        "accept": _ANY,
        "min_driver": _DRIVER,
        "rejected_drivers": _DRIVER,
        "rejected_vbios": _VBIOS,
        "devices": Form("a certificate's serial number in lowercase hexadecimal", re.compile(r"[0-9a-f]{1,40}")),
        "bound": _ANY,
    },
    policy.ServicePolicy: {
        "freshness": _ANY,
        **dict.fromkeys(("custody", "terminates_at"), _ANY),
        **dict.fromkeys(("app_ids", "gateway_app_ids"), _hex(40, "a dstack application's id")),
        "key_providers": Form("the id of a key service in lowercase hexadecimal", re.compile(r"(?:[0-9a-f]{2}){1,1024}")),
        **dict.fromkeys(("manager_files", "manifest_sha256"), _DIGEST),
        "secret_service": Form("a DNS name, secret.example", re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")),
    },
    provenance.ProvenancePolicy: {"signers": _hex(64, "an Ed25519 public key"), "max_witness_seconds": _SECONDS},
    provenance.BuildIdentity: {
        "repository": Form("owner/name", re.compile(_REPOSITORY)),
        "workflow": Form("the path of a workflow, .github/workflows/release.yml", re.compile(_WORKFLOW)),
        "ref": Form("a full ref, refs/tags/v1.2 or refs/tags/*; only one final * has a meaning", re.compile(_REF)),
        "signer": Form(
            "owner/name/.github/workflows/sign.yml@refs/tags/v1, the reusable workflow that signs; only one final * has a meaning",
            re.compile(rf"{_REPOSITORY}/{_WORKFLOW}@{_REF}"),
        ),
        "repository_id": Form("GitHub's number of the repository", re.compile(r"[1-9][0-9]{0,19}")),
        "triggers": Form("the name of an event, push", re.compile(r"[a-z_]{1,40}")),
        "issuer": Form(
            "an https origin, https://token.actions.githubusercontent.com", re.compile(r"https://[a-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._/-]*)?")
        ),
    },
}


def check_forms(where: str, value: msgspec.Struct) -> None:
    """Every text and number in `value` is spelled as appraisal compares it. Raises: ConfigError naming the field below `where`."""
    for path, form, leaf in _leaves(value):
        if isinstance(form, Range):
            if not form.low <= leaf <= form.high:
                raise ConfigError(f"{where}: {path} is {leaf}", f"it must be from {form.low} to {form.high}")
        elif not form.pattern.fullmatch(leaf):
            raise ConfigError(f"{where}: {path} is {_shown(leaf)}", f"it must be {form.what}; {_mend(form, leaf)}")


def _leaves(value: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, Form | Range, Any]]:
    """Path, form and value of every text and number in `value`."""
    forms = FORMS.get(type(value), {})
    for field in value.__struct_fields__:
        for path, member in _members(f"{prefix}{field}", getattr(value, field)):
            if isinstance(member, msgspec.Struct):
                yield from _leaves(member, f"{path}.")
            elif field in forms and not isinstance(member, (bool, datetime.date, type(None))):
                yield path, forms[field], member


def _members(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, tuple):
        yield from ((f"{path}[{index}]", member) for index, member in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"{path}.{key}", member) for key, member in value.items())
    else:
        yield path, value


def _shown(text: str) -> str:
    return f"{text[:40]!a}…, {len(text)} characters" if len(text) > 40 else f"{text!a}, {len(text)} characters"


def _mend(form: Form, text: str) -> str:
    """How to come from what is written to what is wanted, where that is plain."""
    bare = text.strip().removeprefix("sha256:").removeprefix("sha384:").removeprefix("0x").removeprefix("0X")
    if form.pattern.fullmatch(bare):
        return "leave out what stands before the digits, and spaces"
    if form.pattern.fullmatch(bare.lower()):
        return "write it in lowercase"
    return form.mend
