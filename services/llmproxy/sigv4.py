"""AWS Signature Version 4: who sends a request, and that nobody changed it on the way.

As https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html describes it, for requests
without a query, which is all that Bedrock has.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller of AWS signs with; the token belongs to keys that expire."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one service in one region, where alone the signatures count."""

    credentials: Credentials
    region: str
    service: str

    def sign(self, method: str, path: str, headers: Mapping[str, str], body: bytes, moment: datetime) -> dict[str, str]:
        """Return ``headers`` with what AWS wants added; ``host`` must be among them, names in lower case.

        ``path`` is as it is sent, percent-encoded; it is encoded once more for the signature, as everywhere but in S3.
        """
        stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {**headers, "x-amz-date": stamp}
        if self.credentials.session_token:
            signed["x-amz-security-token"] = self.credentials.session_token
        names = sorted(signed)
        canonical = "\n".join(
            (
                method,
                quote(path or "/", safe="/~"),
                "",
                *(f"{name}:{' '.join(signed[name].split())}" for name in names),
                "",
                ";".join(names),
                hashlib.sha256(body).hexdigest(),
            )
        )
        day = stamp[:8]
        within = f"{day}/{self.region}/{self.service}/aws4_request"
        wanted = "\n".join((ALGORITHM, stamp, within, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{self.credentials.secret_key}".encode()
        for part in within.split("/"):
            key = _hmac(key, part)
        signature = _hmac(key, wanted).hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={self.credentials.access_key}/{within}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return signed


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
