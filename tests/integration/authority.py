"""An authority of our own for tests of TLS."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.tls import CertificateFiles


class Authority:
    """Signs certificates of servers and clients into a folder."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._sign(name, self.key, x509.BasicConstraints(ca=True, path_length=0), name)

    def _sign(self, name, key, extension, issuer):
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
        builder = builder.not_valid_after(now + dt.timedelta(hours=1)).add_extension(extension, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def files(self, folder, host: str, common_name: str = "backend") -> CertificateFiles:
        """Write a certificate for a host, its key, and the authority's own certificate."""
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        certificate = self._sign(name, key, x509.SubjectAlternativeName([alternative]), self.certificate.subject)
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / "tls.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
        (folder / "ca.crt").write_bytes(self.certificate.public_bytes(pem))
        return CertificateFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
