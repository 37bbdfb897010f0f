"""When the certificates of a process end, told to Prometheus so that somebody hears of it before."""

import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.tls import CertificateFiles

END = "-----END CERTIFICATE-----"
SEQUENCE, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


class Expiry(Collector):
    """Reads the files at each scrape, since they are replaced; one that cannot be read just then is left out."""

    def __init__(self, files: Mapping[str, CertificateFiles]) -> None:
        self._files = files

    def collect(self) -> Iterable[Metric]:
        """Yield the end of every certificate by what it is used for."""
        ends = GaugeMetricFamily(
            "pulsegate_certificate_expiry_timestamp_seconds", "When a certificate in use ends", labels=["use"]
        )
        for use, files in self._files.items():
            try:
                ends.add_metric([use], not_after(files.certificate.read_text("ascii")).timestamp())
            except (OSError, ValueError):
                continue
        yield ends


def export(files: Mapping[str, CertificateFiles], registry: CollectorRegistry = REGISTRY) -> None:
    """Offer the ends to whoever scrapes this process; ``files`` are by what they are used for."""
    if files:
        registry.register(Expiry(files))


def not_after(pem: str) -> datetime:
    """Return when the first certificate of a PEM text ends (RFC 5280, 4.1); raises ValueError for what is none.

    Python's ``ssl`` tells that of the other side's certificate only, and a library for this one field would be a
    dependency of every process.
    """
    certificate = _Der(ssl.PEM_cert_to_DER_cert(pem.partition(END)[0].strip() + f"\n{END}\n"))
    body = _Der(_Der(certificate.take(SEQUENCE)).take(SEQUENCE))
    if body.tag() == VERSION:
        body.take(VERSION)
    for _ in ("serialNumber", "signature", "issuer"):
        body.take(body.tag())
    validity = _Der(body.take(SEQUENCE))
    validity.take(validity.tag())  # notBefore
    if (kind := validity.tag()) not in {UTC_TIME, GENERALIZED_TIME}:
        raise ValueError("a certificate without an end")
    text = validity.take(kind).decode("ascii")
    century = "" if kind == GENERALIZED_TIME else "19" if text[:2] >= "50" else "20"
    return datetime.strptime(f"{century}{text}", "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


class _Der:
    """Takes one value of ASN.1 in DER after the other out of some bytes."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def tag(self) -> int:
        if len(self._rest) < 2:
            raise ValueError("a certificate that ends too early")
        return self._rest[0]

    def take(self, tag: int) -> bytes:
        if self.tag() != tag:
            raise ValueError(f"no certificate: {self.tag():#x} in place of {tag:#x}")
        length, start = self._rest[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(self._rest[2:start])
        value, self._rest = self._rest[start : start + length], self._rest[start + length :]
        if len(value) < length:
            raise ValueError("a certificate that ends too early")
        return value
