"""Every private name of aiortc, aioice and pylibsrtp that this project touches, with a test that they are there.

Proved with aiortc 1.16, aioice 0.13 and pylibsrtp 1.0. ``self_test`` runs at start; where it raises, viewers are
served through a stock RTCRtpSender and publishers are received through a stock RTCRtpReceiver, which decodes; both
need none of the names below their heading.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aioice.ice
import pylibsrtp
from aioice.stun import TransactionError
from aiortc import (
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtp import AnyRtcpPacket, RtpPacket
from pylibsrtp import Policy, Session
from pylibsrtp import _binding as srtp_binding

srtp: Any = srtp_binding.lib
ffi: Any = srtp_binding.ffi

GCM_TAG, SHA1_TAG = 16, 10
_TAGS = {
    b"SRTP_AEAD_AES_256_GCM": GCM_TAG,
    b"SRTP_AEAD_AES_128_GCM": GCM_TAG,
    b"SRTP_AES128_CM_SHA1_80": SHA1_TAG,
}


class Missing(Exception):
    """A private name is gone or does not do what is expected of it."""


class DatagramTransport(Protocol):
    """What sends a datagram: a UDP socket's transport, or one that relays through TURN."""

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        """Send without waiting."""
        ...


@dataclass(frozen=True)
class Path:
    """How packets leave for one connected peer now."""

    session: Session
    handle: Any
    tag_length: int
    transport: DatagramTransport
    address: tuple[str, int]
    socket: socket.socket | None
    """A descriptor of its own on the peer's UDP socket, closed by who asked; None when relayed."""


class Recipient:
    """What a transport hands receiver reports, NACK and PLI of one sent stream to."""

    def __init__(self, ssrc: int, on_packet: Callable[[AnyRtcpPacket], None]) -> None:
        self._ssrc = ssrc
        self._on_packet = on_packet

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        self._on_packet(packet)


class Tap:
    """What a transport hands the packets of one received track to, in place of aiortc's decoding receiver."""

    def __init__(self, on_packet: Callable[[RtpPacket], None], on_control: Callable[[AnyRtcpPacket], None]) -> None:
        self._on_packet = on_packet
        self._on_control = on_control

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:  # noqa: ARG002
        self._on_packet(packet)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        self._on_control(packet)

    def _handle_disconnect(self) -> None:
        """Do nothing: the peer sees its connection end by itself."""


def offer_addresses(addresses: Sequence[str]) -> None:
    """Make every later peer offer candidates on these addresses; aioice itself never offers loopback.

    Without addresses every interface is offered, and loopback where there is no other.
    """
    if not hasattr(aioice.ice, "get_host_addresses"):
        raise Missing("aioice.ice.get_host_addresses")

    def every(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return list(addresses) or _interface_addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = every


_interface_addresses = aioice.ice.get_host_addresses


def answer_as_dtls_server(transceiver: RTCRtpTransceiver) -> None:
    """Be the passive side where the offer leaves the choice, so that this side picks the faster AEAD cipher."""
    transport = transceiver.receiver.transport
    if transport._role == "auto":  # noqa: SLF001
        transport._set_role("server")  # noqa: SLF001


def guard_connecting(transceiver: RTCRtpTransceiver, ending: Callable[[], bool]) -> None:
    """Let nothing be left of connecting when a peer ends meanwhile.

    aioice's ``connect`` starts to ask for consent for ever when ``close`` ran between its last check and its return.
    """
    transport = transceiver.receiver.transport.transport
    start = transport.start

    async def start_unless_ending(parameters: RTCIceParameters) -> None:
        if ending():
            return
        await start(parameters)
        if ending():
            await transport._connection.close()  # noqa: SLF001

    if getattr(start, "__name__", "") != start_unless_ending.__name__:  # bundled tracks share one transport
        transport.start = start_unless_ending  # type: ignore[method-assign,assignment]  # positional only


# Needed by the shared fan-out and by receiving without decoding only


def send_as(sender: RTCRtpSender, ssrc: int, rtx_ssrc: int) -> None:
    """Announce these numbers in the answer instead of the sender's own."""
    sender._ssrc, sender._rtx_ssrc = ssrc, rtx_ssrc  # noqa: SLF001


def without_header_extensions(transceiver: RTCRtpTransceiver) -> None:
    """Accept no header extension, so that nothing in a packet depends on the viewer."""
    transceiver._headerExtensions = []  # noqa: SLF001


def listen(transport: RTCDtlsTransport, recipient: Recipient, parameters: RTCRtpSendParameters) -> None:
    """Get the control packets about one sent stream."""
    transport._register_rtp_sender(recipient, parameters)  # noqa: SLF001


def unlisten(transport: RTCDtlsTransport, recipient: Recipient) -> None:
    """Get them no more."""
    transport._unregister_rtp_sender(recipient)  # noqa: SLF001


def receive(transport: RTCDtlsTransport, tap: Tap, parameters: RTCRtpReceiveParameters) -> None:
    """Get the packets of one received track."""
    transport._register_rtp_receiver(tap, parameters)  # noqa: SLF001


def unreceive(transport: RTCDtlsTransport, tap: Tap) -> None:
    """Get them no more."""
    transport._unregister_rtp_receiver(tap)  # noqa: SLF001


def path(transport: RTCDtlsTransport) -> Path:
    """Tell how packets leave for a connected peer; raises ``ConnectionError`` when it is not connected."""
    pair = transport.transport._connection._nominated.get(1)  # noqa: SLF001
    session = transport._tx_srtp  # noqa: SLF001
    ssl = transport._ssl  # noqa: SLF001
    if pair is None or session is None or ssl is None:
        raise ConnectionError("the peer is not connected")
    relayed = pair.local_candidate.type == "relay"
    plain = None if relayed else pair.protocol.transport.get_extra_info("socket")
    own = socket.socket(fileno=socket.dup(plain.fileno())) if plain is not None else None
    return Path(
        session,
        session._srtp[0],  # noqa: SLF001
        _TAGS[ssl.get_selected_srtp_profile()],
        pair.protocol.transport,
        pair.remote_addr,
        own,
    )


def selected_address(transport: RTCDtlsTransport) -> tuple[str, int] | None:
    """Tell the peer's address on the pair in use."""
    pair = transport.transport._connection._nominated.get(1)  # noqa: SLF001
    return pair.remote_addr if pair is not None else None


async def answers(transport: RTCDtlsTransport) -> bool:
    """Ask a connected peer whether it is there, as consent checks do, and tell whether it says so."""
    connection = transport.transport._connection  # noqa: SLF001
    pair = connection._nominated.get(1)  # noqa: SLF001
    if pair is None or connection.remote_password is None:
        return False
    request = connection.build_request(pair, nominate=False)
    key = connection.remote_password.encode()
    try:
        await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=1)
    except (TransactionError, ConnectionError):
        return False
    return True


def self_test() -> None:
    """Raise ``Missing`` unless every private name is there and in-place SRTP makes the bytes the public way makes."""
    key = bytes(range(44))
    policy = Policy(key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_256_GCM)
    packet = bytes([0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(100)
    try:
        expected = Session(policy).protect(packet)
        session = Session(policy)
        buffer = ffi.new("char[]", 256)
        length = ffi.new("int *", len(packet))
        ffi.memmove(buffer, packet, len(packet))
        status = srtp.srtp_protect(session._srtp[0], buffer, length)  # noqa: SLF001
        made = bytes(ffi.buffer(buffer, length[0]))
    except (AttributeError, TypeError, pylibsrtp.Error) as error:
        raise Missing(f"pylibsrtp: {error}") from error
    if status != 0 or made != expected or len(made) != len(packet) + GCM_TAG:
        raise Missing("pylibsrtp: in-place protection differs")


async def self_test_peer() -> None:
    """Raise ``Missing`` unless a fresh peer has the private names of the fan-out."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        transceiver = peer.addTransceiver("video", direction="sendonly")
        transport = transceiver.receiver.transport
        names = {
            "RTCRtpSender": (transceiver.sender, ("_ssrc", "_rtx_ssrc")),
            "RTCRtpTransceiver": (transceiver, ("_headerExtensions",)),
            "RTCDtlsTransport": (
                transport,
                (
                    "_tx_srtp",
                    "_ssl",
                    "_role",
                    "_set_role",
                    "_register_rtp_sender",
                    "_unregister_rtp_sender",
                    "_register_rtp_receiver",
                    "_unregister_rtp_receiver",
                ),
            ),
            "aioice.Connection": (transport.transport._connection, ("_nominated", "build_request", "remote_password")),  # noqa: SLF001
        }
        for owner, (thing, wanted) in names.items():
            for name in wanted:
                if not hasattr(thing, name):
                    raise Missing(f"{owner}.{name}")
    except AttributeError as error:
        raise Missing(str(error)) from error
    finally:
        await asyncio.wait_for(peer.close(), 5)


Starter = Callable[[RTCRtpSendParameters], Coroutine[Any, Any, None]]
"""What a transport calls once it can carry a sender's media."""


def replace_sending(sender: RTCRtpSender, start: Starter, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let others start and stop this sender: its public ``send`` and ``stop``, on this one instance."""
    sender.send = start  # type: ignore[method-assign,assignment]  # without the argument's name
    sender.stop = stop  # type: ignore[method-assign]


ReceiveStarter = Callable[[RTCRtpReceiveParameters], Coroutine[Any, Any, None]]
"""What a connection calls once media can come."""


def replace_receiving(
    receiver: RTCRtpReceiver, start: ReceiveStarter, stop: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Let others start and stop this receiver: its public ``receive`` and ``stop``, on this one instance."""
    receiver.receive = start  # type: ignore[method-assign,assignment]  # without the argument's name
    receiver.stop = stop  # type: ignore[method-assign]
