"""The Ice communicators of the converter: one that serves the object, one that proves it answers."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

import Ice

from services.converter.conversor import ConversorUnidades, ConversorUnidadesPrx
from services.converter.servant import ConversorServant

IDENTITY = "ConversorUnidades"
MESSAGE_SIZE_MAX_KIB = 1024
CLOSE_TIMEOUT_MILLISECONDS = 2000  # a client that never closes cannot hold up a shutdown
EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a listener on all is asked

# An idle connection may end at any time; only a new one tells whether the server is gone.
LOST = (Ice.ConnectionLostException, Ice.CloseConnectionException)

log = logging.getLogger(__name__)


class IceServer:
    """Serves the object ``ConversorUnidades`` over TCP from the moment it is made; end it with ``close``.

    Raises OSError when the address cannot be had. Every open connection hears from this side at least once in
    ``silence_seconds``: Ice 3.8 peers abort connections that are silent for a minute.
    """

    def __init__(self, address: str, silence_seconds: int = 20) -> None:
        host, port = _split(address)
        self._communicator = _communicator(
            {
                "Ice.ACM.Server.Heartbeat": "3",  # always, not only while dispatching
                "Ice.ACM.Server.Timeout": str(silence_seconds),  # looked at twice within this time
                "Ice.Override.CloseTimeout": str(CLOSE_TIMEOUT_MILLISECONDS),
                "Ice.Warn.Dispatch": "0",  # a client's malformed request is the client's affair
            }
        )
        try:
            adapter = self._communicator.createObjectAdapterWithEndpoints(IDENTITY, f'tcp -h "{host}" -p {port}')
        except Ice.LocalException as error:
            self._communicator.destroy()
            raise OSError(reason(error)) from None
        adapter.add(ConversorServant(), Ice.stringToIdentity(IDENTITY))
        adapter.activate()
        port = adapter.getEndpoints()[0].getInfo().port
        self.address = f"{address.rpartition(':')[0]}:{port}"
        self.proxy = f'{IDENTITY}:tcp -h "{EVERY_INTERFACE.get(host, host)}" -p {port}'

    async def close(self) -> None:
        """Tell every client that this side closes, and wait a little for them to do the same."""
        await asyncio.to_thread(self._communicator.destroy)


class IceClient:
    """A client of the object behind a proxy text; it really goes through TCP. End it with ``close``.

    ``on_lost`` is called on the event loop whenever a connection ended, which may or may not mean a failure.
    """

    def __init__(self, proxy: str, timeout_seconds: float = 1.0) -> None:
        milliseconds = str(round(timeout_seconds * 1000))
        self._communicator = _communicator(
            {
                "Ice.ACM.Client.Heartbeat": "3",
                "Ice.ACM.Client.Timeout": "20",
                "Ice.Default.CollocationOptimized": "0",
                "Ice.Default.InvocationTimeout": milliseconds,
                "Ice.Override.CloseTimeout": milliseconds,
                "Ice.Override.ConnectTimeout": milliseconds,
                "Ice.RetryIntervals": "-1",  # whoever asks decides about asking again
            }
        )
        self.prx = ConversorUnidadesPrx.uncheckedCast(self._communicator.stringToProxy(proxy))
        self._connection: object = None
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        """Where the object is, ``host:port``; the proxy text where it names no endpoint."""
        for endpoint in self.prx.ice_getEndpoints():
            info = endpoint.getInfo()
            return f"{info.host}:{info.port}"
        return str(self.prx)

    async def probe(self) -> None:
        """Return when the object answers; raise ConnectionError with the reason when it does not."""
        try:
            try:
                await self._ping()
            except LOST:
                await self._ping()
        except Ice.Exception as error:
            raise ConnectionError(reason(error)) from None

    async def close(self) -> None:
        """Close the connection and free the runtime's threads."""
        await asyncio.to_thread(self._communicator.destroy)

    async def _ping(self) -> None:
        connection = await Ice.wrap_future(self.prx.ice_getConnectionAsync())
        if connection != self._connection:
            self._connection = connection
            loop = asyncio.get_running_loop()
            connection.setCloseCallback(lambda _: loop.call_soon_threadsafe(self.on_lost))
            if not await Ice.wrap_future(self.prx.ice_isAAsync(ConversorUnidades.ice_staticId())):
                raise Ice.ObjectNotExistException
        await Ice.wrap_future(self.prx.ice_pingAsync())


def checked_proxy(text: str) -> str:
    """Return a proxy text, which may be empty; raises ValueError when Ice cannot read it."""
    if text:
        with _communicator({}) as communicator:
            try:
                communicator.stringToProxy(text)
            except Ice.LocalException as error:
                raise ValueError(f"not an Ice proxy: {reason(error)}") from None
    return text


def reason(error: Ice.Exception) -> str:
    """Say in one line, without the runtime's own text, why Ice failed."""
    if isinstance(error, Ice.SocketException) and error.error:
        return os.strerror(error.error)
    return type(error).__name__  # the full text names source files


class _Log(Ice.Logger):  # type: ignore[misc]  # the Ice runtime has no types
    """Put what the Ice runtime says into the log of this process."""

    def _print(self, message: str) -> None:
        log.info("ice", extra={"detail": message})

    def trace(self, category: str, message: str) -> None:
        log.info("ice trace", extra={"category": category, "detail": message})

    def warning(self, message: str) -> None:
        log.warning("ice warning", extra={"detail": message})

    def error(self, message: str) -> None:
        log.error("ice error", extra={"detail": message})

    def getPrefix(self) -> str:  # noqa: N802  the runtime's name
        return ""

    def cloneWithPrefix(self, _prefix: str) -> "_Log":  # noqa: N802  the runtime's name
        return self


def _communicator(properties: Mapping[str, str]) -> Ice.Communicator:
    initialization = Ice.InitializationData()
    initialization.logger = _Log()
    initialization.properties = Ice.createProperties()
    initialization.properties.setProperty("Ice.MessageSizeMax", str(MESSAGE_SIZE_MAX_KIB))
    for name, value in properties.items():
        initialization.properties.setProperty(name, value)
    return Ice.initialize(initialization)


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port
