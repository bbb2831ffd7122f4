"""The images that a dstack app-compose file starts: each named by its digest, and each vouched for.

The compose file in it is YAML that Docker Compose runs in the machine. Whatever lets something other than the text choose an image is
refused, not interpreted: `build`, `extends`, `include`, a variable in a reference, environment variables that steer Compose itself.
Attributes are allowed by name, so that one which a later Compose invents is refused until it was looked at.

What this does not prove: that containers start no others. A service with the engine's socket, or a script of the machine, can run any
image; scripts are named in `unjudged`, for the warnings of the result.

Sources: compose-spec/compose-spec, spec.md; distribution/reference, the grammar of references; Dstack-TEE/dstack, app-compose.
"""

import re
from collections.abc import Sequence

import msgspec

from ollm.attest import strict_json
from ollm.attest.dstack.compose import MAX_COMPOSE
from ollm.attest.provenance import yaml_tree
from ollm.errors import EvidenceRefused
from ollm.values.provenance import CertifiedBuild, VerifiedStatement

SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"  # what a build says of what it built; an SBOM has the same subjects and says less
MAX_SERVICES = 256

_CHECK = "provenance.compose"
_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}@sha256:([0-9a-f]{64})")
_REFERENCE = re.compile(r"[\x21-\x7e]{1,512}")
_SCRIPTS = ("pre_launch_script", "init_script", "bash_script")
_STEERING = ("COMPOSE_", "DOCKER_", "BUILDKIT_")  # variables that name other files, projects, engines or platforms to Compose
_TOP = frozenset({"version", "name", "services", "networks", "volumes", "configs", "secrets"})
_SERVICE = frozenset(
    """annotations attach blkio_config cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent
    cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy device_cgroup_rules
    devices dns dns_opt dns_search domainname entrypoint env_file environment expose external_links extra_hosts gpus group_add
    healthcheck hostname image init ipc isolation labels links logging mac_address mem_limit mem_reservation mem_swappiness
    memswap_limit network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged profiles
    pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt
    sysctls tmpfs tty ulimits user userns_mode uts volumes volumes_from working_dir""".split()  # noqa: SIM905 - ninety lines of one word each
)
_VOLUME_TYPES = {"volume", "bind", "tmpfs"}  # not image: that mounts an image's files


class ComposeImage(msgspec.Struct, frozen=True):
    """What one service runs."""

    service: str
    reference: str

    @property
    def sha256(self) -> str | None:
        """The digest in the reference, 64 hex; None when a tag or nothing stands there, which whoever runs the registry can move."""
        pinned = _PINNED.fullmatch(self.reference)
        return pinned[1] if pinned else None


class ComposeImages(msgspec.Struct, frozen=True):
    """What a compose file starts, in its order, and what else the machine runs that may start more."""

    images: tuple[ComposeImage, ...]
    unjudged: tuple[str, ...] = ()


def read(app_compose: str) -> ComposeImages:
    """The images of an app-compose file. Raises: EvidenceRefused with provenance.compose for a file whose images can't be told from it."""
    document = strict_json.parse(app_compose, limit=MAX_COMPOSE, check=_CHECK)
    text = document.get("docker_compose_file") if isinstance(document, dict) else None
    if not isinstance(text, str) or document.get("runner") != "docker-compose":
        raise EvidenceRefused(_CHECK, "an app-compose file without a Docker Compose file", "runner docker-compose and docker_compose_file")
    _check_environment(document.get("allowed_envs", []))
    return ComposeImages(_images(yaml_tree.parse(text, check=_CHECK)), tuple(name for name in _SCRIPTS if document.get(name)))


def check_pinned(found: ComposeImages) -> None:
    """Every image is named by its digest. Raises: EvidenceRefused with provenance.images_pinned."""
    loose = [f"{image.service}: {image.reference[:80]}" for image in found.images if image.sha256 is None]
    if loose:
        raise EvidenceRefused("provenance.images_pinned", ", ".join(loose[:4]), "name@sha256: and 64 lowercase hex")


def without_provenance(found: ComposeImages, statements: Sequence[VerifiedStatement]) -> tuple[ComposeImage, ...]:
    """The images that no build in `statements`, which were admitted before, says it built."""
    built = {
        subject.sha256
        for statement in statements
        if statement.predicate_type == SLSA_PROVENANCE and isinstance(statement.by, CertifiedBuild)
        for subject in statement.subjects
    }
    return tuple(image for image in found.images if image.sha256 not in built)


def check_built(found: ComposeImages, statements: Sequence[VerifiedStatement]) -> None:
    """A build that was admitted built every image. Raises: EvidenceRefused with provenance.images."""
    missing = without_provenance(found, statements)
    if missing:
        names = ", ".join(f"{image.service}: {image.reference[:80]}" for image in missing[:4])
        raise EvidenceRefused("provenance.images", f"{len(missing)} images without provenance: {names}", "a statement of an admitted build for each")


def _check_environment(names: object) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise EvidenceRefused(_CHECK, "allowed_envs that is no list of names", "a list of names")
    steering = [name for name in names if name.upper().startswith(_STEERING)]
    if steering:
        raise EvidenceRefused(_CHECK, f"{steering[0][:40]!a} in allowed_envs", "no variable that steers Docker Compose: the host chooses its value")


def _images(tree: yaml_tree.Tree) -> tuple[ComposeImage, ...]:
    services = _mapping(tree, _TOP, "the compose file").get("services")
    if not isinstance(services, dict) or not 0 < len(services) <= MAX_SERVICES:
        raise EvidenceRefused(_CHECK, "no services, or too many", f"1 to {MAX_SERVICES} services")
    return tuple(ComposeImage(name[:80], _image(service)) for name, service in services.items())


def _image(service: yaml_tree.Tree) -> str:
    attributes = _mapping(service, _SERVICE, "a service")
    image = attributes.get("image")
    if not isinstance(image, str) or not _REFERENCE.fullmatch(image) or "$" in image:
        raise EvidenceRefused(_CHECK, "a service whose image is missing, or comes from a variable", "image written out")
    if attributes.get("pull_policy") == "build":
        raise EvidenceRefused(_CHECK, "a service that is built in the machine", "images that were built before")
    volumes = attributes.get("volumes", [])
    if not isinstance(volumes, list):
        raise EvidenceRefused(_CHECK, "volumes that are no list", "a list")
    for volume in volumes:
        if isinstance(volume, dict) and volume.get("type") not in _VOLUME_TYPES:
            raise EvidenceRefused(_CHECK, "a volume of another type", ", ".join(sorted(_VOLUME_TYPES)))
    return image


def _mapping(tree: yaml_tree.Tree, known: frozenset[str], what: str) -> dict[str, yaml_tree.Tree]:
    """`tree` as a mapping of `known` keys; extensions (x-…) can't be referred to without anchors, so they say nothing."""
    if not isinstance(tree, dict):
        raise EvidenceRefused(_CHECK, f"{what} that is no mapping", "a mapping")
    unknown = [key for key in tree if key not in known and not key.startswith("x-")]
    if unknown:
        raise EvidenceRefused(_CHECK, f"{unknown[0][:40]!a} in {what}", "attributes whose effect on images is known")
    return tree
