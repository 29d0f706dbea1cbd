"""Keys in files, and what they sign."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import signer
from sidecar.core import canonical, envelope
from sidecar.signer import CommandSigner, FileSigner, KeyFileError, KeyFileRefusedError

SEED = bytes(range(32))


def saved(folder: Path) -> Path:
    path = folder / "beat.key"
    FileSigner(SEED).save(path)
    return path


def changed(folder: Path, **changes: Any) -> Path:
    path = saved(folder)
    path.write_bytes(canonical.encode({**json.loads(path.read_bytes()), **changes}) + b"\n")
    return path


def test_a_saved_key_is_the_same_key_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = signer.load(path)
    assert (loaded.key_id, loaded.public) == (FileSigner(SEED).key_id, FileSigner(SEED).public)
    assert loaded.sign(b"x") == FileSigner(SEED).sign(b"x")


def test_what_it_signs_verifies_under_its_public_key() -> None:
    key = FileSigner(SEED)
    assert envelope.verify(key.public, b"message", key.sign(b"message"))


def test_the_first_test_vector_of_rfc_8032() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = FileSigner(seed)
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_a_key_never_replaces_a_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(FileExistsError):
        FileSigner(bytes(32)).save(path)
    assert signer.load(path).key_id == FileSigner(SEED).key_id


def test_a_seed_is_in_no_repr(tmp_path: Path) -> None:
    assert SEED.hex() not in repr(FileSigner(SEED))
    assert FileSigner(SEED).key_id[:16] in repr(FileSigner(SEED))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(mode: int, tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.chmod(mode)
    with pytest.raises(KeyFileRefusedError, match="chmod 600"):
        signer.load(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_we_may_not_read_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.chmod(0)
    with pytest.raises(KeyFileRefusedError, match="Permission denied"):
        signer.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"none\.key: cannot be read: No such file"):
        signer.load(tmp_path / "none.key")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "00" * 32},
        {"public": "00" * 32},
        {"keyid": "00" * 32},
        {"type": "urn:epochgate:key:v2"},
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    changes: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(KeyFileError, match="do not belong together"):
        signer.load(changed(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes", [{"extra": 1}, {"seed": SEED.hex()[:-2]}, {"seed": SEED.hex().upper()}, {"type": 1}]
)
def test_another_shape_is_refused_without_quoting_the_seed(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(KeyFileError, match="not an Epochgate key file") as error:
        signer.load(changed(tmp_path, **changes))
    assert SEED.hex()[:16] not in str(error.value)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"x" * 10_000])
def test_other_bytes_are_refused(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not an Epochgate key file"):
        signer.load(path)


def test_an_envelope_carries_one_signature_per_signer() -> None:
    other = FileSigner(bytes(32))
    sealed = envelope.parse(signer.sign("t", b"{}", FileSigner(SEED), other), 100)
    keys = {key.key_id: key.public for key in (FileSigner(SEED), other)}
    assert set(envelope.signed_by(sealed, keys)) == keys.keys()


# --- keys behind a program

DEVICE = """
import sys
from nacl.signing import SigningKey
key = SigningKey(bytes(range(32)))
if sys.argv[1:] == ["--public"]:
    print(bytes(key.verify_key).hex())
else:
    print(bytes(key.sign(sys.stdin.buffer.read()).signature).hex())
"""


def device(folder: Path, text: str = DEVICE) -> str:
    """A program that signs, as --key names it."""
    path = folder / "device.py"
    path.write_text(text)
    return shlex.join([sys.executable, str(path)])


def test_a_program_signs_what_it_is_handed_and_its_key_is_like_any_other(tmp_path: Path) -> None:
    key = CommandSigner(device(tmp_path))
    assert (key.key_id, key.public) == (FileSigner(SEED).key_id, FileSigner(SEED).public)
    message = bytes(range(256)) * 300  # any bytes, more than a pipe holds
    assert key.sign(message) == FileSigner(SEED).sign(message)
    sealed = envelope.parse(signer.sign("t", b"{}", key), 100)
    assert envelope.signed_by(sealed, {key.key_id: key.public}) == (key.key_id,)


def test_a_key_is_named_by_its_file_or_by_exec(tmp_path: Path) -> None:
    assert isinstance(signer.load_any(f"exec:{device(tmp_path)}"), CommandSigner)
    assert isinstance(signer.load_any(str(saved(tmp_path))), FileSigner)


def test_a_public_key_is_named_by_its_digits_or_by_its_holder(tmp_path: Path) -> None:
    public = FileSigner(SEED).public
    for said in (public.hex(), str(saved(tmp_path)), f"exec:{device(tmp_path)}"):
        assert signer.public_of(said) == public


@pytest.mark.parametrize("said", ["00" * 32, "02" + "00" * 31, "ff" * 32])
def test_digits_that_are_no_public_key_are_refused(said: str) -> None:
    """A key that nothing could ever be verified with would count for a threshold."""
    with pytest.raises(KeyFileError, match="no point of Ed25519"):
        signer.public_of(said)


def test_a_signature_that_does_not_fit_the_public_key_is_never_handed_out(tmp_path: Path) -> None:
    key = CommandSigner(device(tmp_path, DEVICE.replace("sys.stdin.buffer.read()", "b'other'")))
    with pytest.raises(KeyFileError, match="does not fit its public key"):
        key.sign(b"message")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print('5eed' * 15)", "did not print 64 lower-case hex digits"),
        ("print('5EED' * 16)", "did not print 64 lower-case hex digits"),
        ("print('5eed' * 16, '5eed')", "did not print 64 lower-case hex digits"),
        ("raise SystemExit(3)", "ended with status 3"),
    ],
)
def test_a_program_that_answers_otherwise_is_refused_without_quoting_it(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyFileError, match=message) as error:
        CommandSigner(device(tmp_path, text))
    assert "5eed" not in str(error.value).lower()


def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"no answer within 0\.5 s"):
        CommandSigner(device(tmp_path, "import signal; signal.pause()"), timeout_s=0.5)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "names no program"),
        ("'half", "cannot be split"),
        ("/nonexistent/device --pin 1234", "cannot be run: No such file"),
    ],
)
def test_a_program_that_cannot_be_run_is_named_without_its_arguments(
    command: str, message: str
) -> None:
    with pytest.raises(KeyFileError, match=message) as error:
        signer.load_any(f"exec:{command}")
    assert "1234" not in str(error.value)
