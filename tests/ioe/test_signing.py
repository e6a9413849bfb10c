"""Only what was signed with a known key is opened, and it is opened unchanged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, GridloomError, Malformed, Unavailable
from gridloom.core.plans import Action, ActionKind, Command
from gridloom.ioe.signing import Forged, Signer, Verifier

SIGNER = Signer.generate()
VERIFIER = Verifier.of([SIGNER.public_key])
ORDER = Command(
    plan_id="p-1",
    epoch=2,
    action=Action(kind=ActionKind.OPEN, target="switch 7"),
    issued_ns=1,
    expires_ns=2,
    issuer="test",
)


def test_a_signed_command_comes_back_unchanged() -> None:
    assert VERIFIER.verify(SIGNER.sign(ORDER)) == ORDER


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(SIGNER.sign(ORDER))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Malformed, Forged)):
        VERIFIER.verify(bytes(raw))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(GridloomError):
        VERIFIER.verify(data)


def test_another_key_is_forged() -> None:
    with pytest.raises(Forged, match="unknown key"):
        VERIFIER.verify(Signer.generate().sign(ORDER))


def test_keys_are_made_once_private_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "platform"
    first = Signer.from_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.from_file(path).public_key == first.public_key
    opened = Verifier.from_file(tmp_path / "keys" / "platform.pub").verify(first.sign(ORDER))
    assert opened == ORDER
    assert first.public_key.hex() not in repr(first)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Signer.from_file(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        Signer.from_file(tmp_path / "key")


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hello")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BadInput, match="hexadecimal"):
        Signer.from_file(tmp_path / "key")
    with pytest.raises(Unavailable):
        Verifier.from_file(tmp_path / "missing")
