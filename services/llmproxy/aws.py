"""What AWS calls things: its variables, regions, credentials, and the errors of Bedrock."""

import re
from collections.abc import Mapping

from services.llmproxy.messages import AnswerError, redact
from services.llmproxy.sigv4 import Credentials

REGION_MARK = "{region}"
BASE_URL = f"https://bedrock-runtime.{REGION_MARK}.amazonaws.com"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
DEFAULT_REGION = "us-east-1"
REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_REGION_OF_HOST = re.compile(rf"\bbedrock-runtime(?:-fips)?\.({REGION.pattern})\.")
_PAIR = re.compile(r"(?P<access>[A-Z0-9]{16,128}):(?P<secret>[^:]+)(?::(?P<token>.+))?")

ERROR_HEADER = "x-amzn-errortype"
CREDENTIAL_ERRORS = frozenset(
    {"ExpiredTokenException", "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException"}
    | {"MissingAuthenticationTokenException", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)
STATUSES: Mapping[str, int] = {
    **dict.fromkeys(CREDENTIAL_ERRORS, 401),
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 502,
    "ModelNotReadyException": 503,
    "ModelStreamErrorException": 502,
    "ModelTimeoutException": 504,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 429,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
"""What an error of Bedrock is in our terms; its own status calls some of the vendor's failures the client's."""


def key_of(environment: Mapping[str, str]) -> str:
    """Return the credentials of AWS's own variables as one key, as CCProxy joins them; empty when there are none."""
    parts = [environment.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    return ":".join(filter(None, parts)) if all(parts[:2]) else ""


def credentials(key: str) -> Credentials | None:
    """Read a key back into what signs; None for a Bedrock API key, which is sent as it is."""
    match = _PAIR.fullmatch(key)
    return Credentials(match["access"], match["secret"], match["token"] or "") if match else None


def region(named: str, base_url: str, environment: Mapping[str, str]) -> str:
    """Choose the region: the one that is named, the address's, the environment's, AWS's own first."""
    of_host = _REGION_OF_HOST.search(base_url)
    return (
        named
        or (of_host[1] if of_host else "")
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or DEFAULT_REGION
    )


def failure(kind: str, message: object, status: int) -> AnswerError:
    """Turn an error of Bedrock into ours; in a stream its name begins with a small letter."""
    kind = kind.partition(":")[0].rpartition("#")[2]
    kind = kind[:1].upper() + kind[1:]
    status = STATUSES.get(kind, status if status >= 400 else 502)
    said = redact(str(message or "The provider failed"))[:1000]
    return AnswerError(status, f"{kind}: {said}" if kind else said, code="provider_error")
