"""Whom a TLS connection trusts and who it says it is, and what its failures mean in plain words."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.outcome import Reason

# OpenSSL's numbers for why a chain was not accepted (X509_V_ERR_*).
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME, _WRONG_ADDRESS = 62, 64
_CLIENT_ALERTS: Final = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNSUPPORTED_CERTIFICATE",
    "ALERT_HANDSHAKE_FAILURE",  # what TLS 1.2 says when it wanted a certificate and got none
    "ALERT_ACCESS_DENIED",
)
_MENDS: Final = {
    Reason.TLS_UNTRUSTED: "name its certificate authority with --ca FILE or target.tls.ca",
    Reason.TLS_WRONG_NAME: "use the name that the certificate is for, or give the server one "
    "for this name",
    Reason.TLS_EXPIRED: "renew the server's certificate, or correct this machine's clock",
    Reason.TLS_CLIENT_REFUSED: "give a certificate and key that it accepts with "
    "--client-certificate and --client-key, or in target.tls",
    Reason.TLS_FAILED: "does the server speak plain http there?",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Paths of PEM files: `ca` is trusted beside the system's store, the rest is who we are."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """The one context of this process for this trust; making one costs tens of milliseconds.

        Raises:
            UsageError: a file is not there, or not what it should be.
        """
        return _context(self)


SYSTEM: Final = Trust()


@lru_cache(maxsize=8)
def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if trust.ca:
        expected = "a PEM file of certificate authorities"
        _read(expected, trust.ca, lambda: context.load_verify_locations(cafile=trust.ca))
    if trust.certificate:
        key = trust.key or None
        named = f"{trust.certificate} and {trust.key}" if key else trust.certificate
        _read(
            "a PEM certificate and its key, unencrypted",
            named,
            # Without a password given here, an encrypted key would ask for one on the terminal.
            lambda: context.load_cert_chain(trust.certificate, key, password=lambda: ""),
        )
    return context


def _read(expected: str, named: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        why = (error.reason or "no PEM").lower().replace("_", " ")
        mend = "give the right file"
    except OSError as error:
        why = error.strerror or type(error).__name__
        mend = "correct the path"
    else:
        return
    raise UsageError(f"expected {expected} in {named}, found: {why}; {mend}")


def check_files(trust: Trust) -> None:
    """See that the files are there and fit together.

    Raises:
        UsageError: naming the one that is wrong.
    """
    if trust.key and not trust.certificate:
        raise UsageError(f"the key {Path(trust.key).name} needs its certificate beside it")
    if trust != SYSTEM:
        trust.context()


def tls_failure(error: BaseException) -> tuple[Reason, str] | None:
    """Which TLS failure is behind an error, and in words; None when it is none."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _distrust(cause)
        if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return None  # cut, and nobody said anything about trust
        if isinstance(cause, ssl.SSLError):
            return _alert(cause)
    return None


def mended(reason: Reason) -> str:
    """What to do about a TLS failure."""
    return _MENDS[reason]


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _distrust(error: ssl.SSLCertVerificationError) -> tuple[Reason, str]:
    words = error.verify_message or "the certificate was not accepted"
    code = error.verify_code
    if code in (_NOT_YET_VALID, _EXPIRED):
        return Reason.TLS_EXPIRED, f"the server's {words}"
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        return Reason.TLS_WRONG_NAME, words
    return Reason.TLS_UNTRUSTED, f"the server's certificate is not trusted: {words}"


def _alert(error: ssl.SSLError) -> tuple[Reason, str]:
    name = error.reason or "TLS failed"
    words = name.lower().replace("_", " ")
    if any(alert in name for alert in _CLIENT_ALERTS):
        return Reason.TLS_CLIENT_REFUSED, f"the server wants another client certificate: {words}"
    return Reason.TLS_FAILED, words
