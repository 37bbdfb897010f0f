import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import CollectorRegistry

from runtime import expiry
from runtime.tls import CertificateFiles


def certificate(end: datetime, key=None, name="short") -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(1999, 1, 1, tzinfo=UTC)).not_valid_after(end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 9999])
def test_the_end_is_read_in_both_forms_that_certificates_write_it(year):
    end = datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert expiry.not_after(certificate(end)) == end


def test_long_fields_are_stepped_over():
    end = datetime(2030, 2, 28, tzinfo=UTC)
    assert expiry.not_after(certificate(end, rsa.generate_private_key(65537, 2048), "n" * 64)) == end


def test_of_a_chain_the_first_certificate_counts():
    first, second = (datetime(year, 1, 1, tzinfo=UTC) for year in (2027, 2040))
    assert expiry.not_after(certificate(first) + certificate(second)) == first


@pytest.mark.parametrize("length", [0, 1, 2, 4, 30, 60, 150])
def test_what_ends_too_early_is_no_certificate(length):
    whole = ssl.PEM_cert_to_DER_cert(certificate(datetime(2030, 1, 1, tzinfo=UTC)))
    with pytest.raises(ValueError, match=r"certificate"):
        expiry.not_after(ssl.DER_cert_to_PEM_cert(whole[:length]))


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"])
def test_other_text_is_no_certificate(text):
    with pytest.raises(ValueError):  # noqa: PT011  the words are those of Python's ssl
        expiry.not_after(text)


def test_each_use_is_told_and_a_file_that_cannot_be_read_is_left_out(tmp_path):
    end = datetime(2030, 1, 1, tzinfo=UTC)
    good, broken = tmp_path / "good", tmp_path / "broken"
    good.write_text(certificate(end))
    broken.write_bytes(b"\xff")
    registry = CollectorRegistry()
    files = {"grpc": good, "media": broken, "operator": tmp_path / "missing"}
    expiry.export({use: CertificateFiles(file, file) for use, file in files.items()}, registry)
    (family,) = registry.collect()
    assert [(one.labels, one.value) for one in family.samples] == [({"use": "grpc"}, end.timestamp())]
    good.write_text(certificate(datetime(2031, 1, 1, tzinfo=UTC)))
    (family,) = registry.collect()
    assert family.samples[0].value == datetime(2031, 1, 1, tzinfo=UTC).timestamp()


def test_without_certificates_nothing_is_told():
    registry = CollectorRegistry()
    expiry.export({}, registry)
    assert list(registry.collect()) == []
