"""The hierarchy: structure as Intel's, kept across restarts, closed to other users."""

import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.errors import ConfigError
from ollm.sim import sgx_extension
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki, open_pki
from tests.sim.hardware import NOW, FrozenClock, library_verdict


def test_every_authority_is_issued_by_the_root_and_says_that_it_is_simulated(pki: SimulatedPki) -> None:
    for authority in (pki.root, pki.platform_ca, pki.processor_ca, pki.tcb_signing):
        authority.certificate.verify_directly_issued_by(pki.root.certificate)
        assert "SIMULATED" in authority.certificate.subject.rfc4514_string()


def test_key_usage_and_path_lengths_are_those_of_intel(pki: SimulatedPki) -> None:
    def constraints(certificate: x509.Certificate) -> tuple[bool, int | None, bool, bool]:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert basic.critical and usage.critical
        return basic.value.ca, basic.value.path_length, usage.value.crl_sign, usage.value.digital_signature

    assert constraints(pki.root.certificate) == (True, 1, True, False)
    assert constraints(pki.platform_ca.certificate) == (True, 0, True, False)
    assert constraints(pki.processor_ca.certificate) == (True, 0, True, False)
    assert constraints(pki.tcb_signing.certificate) == (False, None, False, True)


def test_a_pck_certificate_carries_the_sgx_extension_and_the_marker_neither_critical(machine: SimulatedMachine) -> None:
    extensions = {extension.oid.dotted_string: extension for extension in machine.pck.extensions}
    assert extensions[sgx_extension.OID].value.public_bytes() == sgx_extension.encode(machine.platform)
    assert not extensions[sgx_extension.OID].critical
    assert not extensions[SIMULATED_MARKER_OID].critical
    machine.pck.verify_directly_issued_by(machine.pki.platform_ca.certificate)


def test_only_the_adversarys_pck_certificate_lacks_the_marker(pki: SimulatedPki, machine: SimulatedMachine) -> None:
    unmarked = pki.issue_pck(pki.root.key.public_key(), machine.platform, now=NOW, days=1, marked=False)
    assert SIMULATED_MARKER_OID not in {extension.oid.dotted_string for extension in unmarked.extensions}


def test_two_installations_have_two_roots(pki: SimulatedPki) -> None:
    assert create_pki(NOW).root_sha256 != pki.root_sha256


def test_a_restart_keeps_the_root_and_old_quotes_stay_valid(tmp_path: Path, clock: FrozenClock) -> None:
    first = open_pki(tmp_path / "sim", NOW)
    quote = SimulatedMachine(first, clock).quote(bytes(64))
    clock.seconds += 86_400
    second = open_pki(tmp_path / "sim", clock.now())
    assert second.root_sha256 == first.root_sha256
    assert library_verdict(SimulatedMachine(second, clock), first.root_der, clock.now(), quote) == "UpToDate"


def test_processes_that_start_together_agree_on_one_root(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_pki(tmp_path / "new" / "sim", NOW), range(4)))
    assert len({pki.root_sha256 for pki in opened}) == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sim"]  # no draft is left behind


def test_only_this_user_can_read_the_keys_and_their_names_say_what_they_are(tmp_path: Path) -> None:
    open_pki(tmp_path / "sim", NOW)
    assert stat.S_IMODE((tmp_path / "sim").stat().st_mode) == 0o700
    files = list((tmp_path / "sim").iterdir())
    assert len(files) == 8
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name.startswith("SIMULATED-")


@pytest.mark.parametrize("damage", ["missing", "garbage", "foreign key"])
def test_a_damaged_directory_is_refused_not_replaced(tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "sim"
    pki = open_pki(directory, NOW)
    key = directory / "SIMULATED-root.key.pem"
    if damage == "missing":
        key.unlink()
    elif damage == "garbage":
        key.write_bytes(b"not a key")
    else:
        shutil.copy(directory / "SIMULATED-tcb_signing.key.pem", key)
    with pytest.raises(ConfigError):
        open_pki(directory, NOW)
    assert (directory / "SIMULATED-root.pem").read_text() == pki.root.pem


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="can't use"):
        open_pki(tmp_path / "file" / "sim", NOW)


def test_a_crl_lists_what_is_revoked_for_its_time(pki: SimulatedPki) -> None:
    crl = x509.load_der_x509_crl(pki.crl(pki.platform_ca, issued=NOW, expires=NOW + 60, revoked=[7]))
    assert crl.is_signature_valid(pki.platform_ca.key.public_key())
    assert crl.get_revoked_certificate_by_serial_number(7) is not None
    assert crl.get_revoked_certificate_by_serial_number(8) is None
    assert crl.next_update_utc is not None
    assert (crl.last_update_utc.timestamp(), crl.next_update_utc.timestamp()) == (NOW, NOW + 60)


def test_openssl_accepts_chain_and_revocation_lists_strictly(machine: SimulatedMachine, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    pki, collateral = machine.pki, machine.collateral()
    crls = [x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM) for der in (collateral.root_ca_crl, collateral.pck_crl)]
    (tmp_path / "root.pem").write_text(pki.root.pem)
    (tmp_path / "ca.pem").write_text(pki.platform_ca.pem)
    (tmp_path / "crls.pem").write_bytes(b"".join(crls))
    (tmp_path / "leaf.pem").write_bytes(machine.pck.public_bytes(serialization.Encoding.PEM))
    command = [openssl, "verify", "-x509_strict", "-crl_check_all", "-attime", str(NOW), "-CAfile", "root.pem"]
    command += ["-untrusted", "ca.pem", "-CRLfile", "crls.pem", "leaf.pem"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "leaf.pem: OK", run.stderr
