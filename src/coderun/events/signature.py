"""Whether a webhook's body is signed by somebody who knows one of our secrets.

First thing that happens to a delivery, before anything of it is parsed. Pure. Fact: GitHub's page "Validating webhook
deliveries" (`X-Hub-Signature-256: sha256=` and the hex HMAC-SHA-256 of the raw body).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

from coderun.model.errors import SignatureMismatchError

HEADER: Final = "x-hub-signature-256"
_SIGNATURE: Final = re.compile(r"sha256=([0-9a-fA-F]{64})")


def sign(body: bytes, secret: str) -> str:
    """The header's value for a body."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def is_signature(header: str) -> bool:
    """Whether a header's value could be a signature at all."""
    return _SIGNATURE.fullmatch(header) is not None


def verify(body: bytes, header: str, secrets: Iterable[str]) -> None:
    """Check the signature against every secret, in a time that depends on the body's length alone.

    Several secrets are accepted while one is replaced by another; empty ones are none.

    Raises:
        SignatureMismatchError: the header is missing or malformed, or no secret gives this signature.
    """
    given = header.lower() if is_signature(header) else ""
    # Every secret is tried: how long it takes must not tell which one it was.
    matches = [hmac.compare_digest(sign(body, secret), given) for secret in secrets if secret]
    if not any(matches):
        raise SignatureMismatchError(
            "the delivery is not signed with one of the webhook's secrets; set the same secret on both sides"
        )
