"""Certificates as files that are replaced while the process runs."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CertificateFiles:
    """A certificate with its key, and the authority whose certificates are believed; all PEM, read when asked for."""

    certificate: Path
    key: Path
    authority: Path | None = None

    def client_credentials(self) -> grpc.ChannelCredentials:
        """Return what proves this process to a server, as the files are now; raises OSError for one that is missing."""
        return grpc.ssl_channel_credentials(self._trusted(), self.key.read_bytes(), self.certificate.read_bytes())

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what proves this process to clients; files that change count from the next handshake on.

        With an authority only clients with a certificate of its are let in. Raises OSError for a missing file.
        """
        follow = _Follower(self)
        return grpc.dynamic_ssl_server_credentials(
            follow.configuration(),
            follow,  # type: ignore[arg-type]  # the stubs do not know that None means unchanged
            require_client_authentication=self.authority is not None,
        )

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Read the server's side of the files."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], self._trusted())

    def http_context(self) -> ssl.SSLContext:
        """Return what proves this process to HTTP clients, as the files are now; raises OSError for what is no pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate, self.key)
        return context

    async def follow(self, context: ssl.SSLContext, interval_seconds: float = 10.0) -> None:
        """Let a context go over to the files whenever they were replaced, until cancelled; open connections stay."""
        async for _ in self.changes(interval_seconds):
            try:
                self.http_context()  # half a pair would spoil the context in use
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                log.warning("certificate not read", extra={"file": str(self.certificate), "reason": str(error)})
            else:
                log.info("certificate read again", extra={"file": str(self.certificate)})

    def mark(self) -> tuple[int, ...]:
        """Tell apart two states of the files; a mounted Secret changes them by moving a link."""
        files = [self.certificate, self.key, *([self.authority] if self.authority else [])]
        return tuple(part for file in files for part in (file.stat().st_ino, file.stat().st_mtime_ns))

    async def changes(self, interval_seconds: float) -> AsyncIterator[None]:
        """Yield whenever the files were replaced, looking that often; while one is missing nothing has changed."""
        seen = self.mark()
        while True:
            await asyncio.sleep(interval_seconds)
            with contextlib.suppress(OSError):
                if (mark := self.mark()) != seen:
                    self.client_credentials()  # readable, all of them
                    seen = mark
                    yield

    def _trusted(self) -> bytes | None:
        return self.authority.read_bytes() if self.authority else None


class _Follower:
    """Is called by gRPC at every handshake; None means that nothing changed."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._seen: tuple[int, ...] | None = None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        self._seen = self._files.mark()
        return self._files.server_configuration()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            if self._files.mark() == self._seen:
                return None
            configuration = self.configuration()
        except OSError as error:  # half replaced: the old pair stays in use until the next handshake finds both
            log.warning("certificate not read", extra={"reason": str(error)})
            return None
        log.info("certificate read again", extra={"file": str(self._files.certificate)})
        return configuration


def certificate_files(certificate: str, key: str, authority: str) -> CertificateFiles | None:
    """Make one of what settings say; none without a certificate. Raises ValueError for what cannot be used."""
    if bool(certificate) != bool(key):
        raise ValueError("a certificate and its key belong together")
    if missing := [file for file in (certificate, key, authority) if file and not Path(file).is_file()]:
        raise ValueError(f"there is no file {missing[0]}")
    if not certificate:
        return None
    return CertificateFiles(Path(certificate), Path(key), Path(authority) if authority else None)
