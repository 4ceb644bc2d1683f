from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from harness.errors import UsageError
from harness.trust import Trust, check_files
from tests.echo_server import Papers


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """One authority and its certificates."""
    return Papers(tmp_path_factory.mktemp("papers"))


def test_a_process_makes_one_context_for_one_trust(papers: Papers) -> None:
    """Making one costs tens of milliseconds, and sessions are many."""
    trust = Trust(ca=papers.ca, certificate=papers.certificate, key=papers.key)
    assert trust.context() is Trust(**{name: getattr(trust, name) for name in names()}).context()
    assert trust.context() is not Trust().context()


def names() -> tuple[str, ...]:
    """What a trust is made of."""
    return ("ca", "certificate", "key")


def test_a_wrong_file_is_told_before_anything_is_connected(papers: Papers, tmp_path: Path) -> None:
    """Absent, no PEM, a key that does not fit, a key without its certificate."""
    text = tmp_path / "text.pem"
    text.write_text("no certificate", encoding="utf-8")
    other = tmp_path / "other"
    other.mkdir()
    foreign = Papers(other)
    for trust, says in (
        (Trust(ca=str(tmp_path / "absent.pem")), "No such file"),
        (Trust(ca=str(text)), "certificate authorities"),
        (Trust(certificate=papers.certificate, key=foreign.key), "mismatch"),
        (Trust(key=papers.key), "needs its certificate"),
    ):
        with pytest.raises(UsageError, match=says):
            check_files(trust)


def test_an_encrypted_key_is_refused_and_nobody_is_asked(papers: Papers, tmp_path: Path) -> None:
    """A prompt for a password would stop a run in CI for ever."""
    key = serialization.load_pem_private_key(Path(papers.key).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UsageError, match="unencrypted"):
        check_files(Trust(certificate=papers.certificate, key=str(locked)))
