"""Signatures of bundles: Ed25519, with keys in PEM files as `openssl genpkey` writes them."""

from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.errors import ExportError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_MAKE = (
    "make a pair: `openssl genpkey -algorithm ed25519 -out private.pem` and "
    "`openssl pkey -in private.pem -pubout -out public.pem`."
)


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """The key that signs.

    Raises:
        ExportError: it is no private Ed25519 key without a password.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ExportError(
            f"{path} is no private Ed25519 key in PEM form without a password.", next_step=_MAKE
        )
    return key


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """The key that checks.

    Raises:
        ExportError: it is no public Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ExportError(f"{path} is no public Ed25519 key in PEM form.", next_step=_MAKE)
    return key


def is_signed_by(key: "Ed25519PublicKey", signature: bytes, content: bytes) -> bool:
    """Whether the private half of a key signed these bytes."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(
            f"The key {path} cannot be read: {error.strerror}.", next_step=_MAKE
        ) from None
