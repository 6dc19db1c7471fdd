"""TLS as a client speaks it: whom the hub trusts, and the certificate by which it shows who it is."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Unusable(OSError):
    """A certificate, or its key, with which no TLS can be made; the text is a sentence for the administrator."""


def context(ca_file: str = "") -> ssl.SSLContext:
    """Trusting whoever the file names, or the system's authorities without one; raises Unusable."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise Unusable(f"The ca_file {ca_file} holds no certificate in PEM.") from error
    except OSError as error:
        raise Unusable(f"The ca_file {ca_file} cannot be read: {error.strerror}.") from error


def show(made: ssl.SSLContext, certificate: str | Path, key: str | Path | None, what: str) -> None:
    """Have the context show the certificate of that file, whose key is in ``key``, or in the same file without one.

    ``what`` names them in the sentences, such as ``The secret``. Raises Unusable.
    """
    try:
        # Without a password to try, OpenSSL would ask whoever sits at the hub's terminal.
        made.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Unusable(
                f"{what} has a private key that does not belong to the first certificate; put the hub's own certificate first, "
                "those that signed it behind it."
            ) from error
        raise Unusable(f"{what} is no PEM text with a certificate and its unencrypted private key.") from error
    except OSError as error:
        raise Unusable(f"{what} cannot be read: {error.strerror}.") from error


@contextmanager
def as_file(text: str) -> Iterator[str]:
    """The path of a file with the text, since the standard library reads certificates from files only.

    Where the system can, the file is in memory: a private key that is kept sealed must not come to the disk as it is.
    """
    if sys.platform == "linux":
        with open(os.memfd_create("certificate"), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name
