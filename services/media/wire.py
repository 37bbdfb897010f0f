"""How one viewer's packets leave: protected in place and segmented by the kernel, or one by one."""

import logging
import socket
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pylibsrtp

from services.media import compat

SCRATCH_BYTES = 65_536
MOST_SEGMENTS = 48
_UDP_SEGMENT = 103  # linux/udp.h; Python's socket module does not name it
_LARGEST_SEND = 60_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """Packets sent in one call: all of one size, the last perhaps shorter."""

    offset: int
    length: int
    segment: int


@dataclass(frozen=True, slots=True)
class Template:
    """RTP packets laid out with room for the SRTP tag behind each, shared by all viewers of one class."""

    buffer: bytes
    packets: tuple[tuple[int, int], ...]
    """Offset and length of each, tag left out."""
    tag_length: int
    runs: tuple[Run, ...] = field(default=())


def lay_out(packets: list[bytes], tag_length: int) -> list[Template]:
    """Lay packets out in as few templates as fit the scratch buffer."""
    templates: list[Template] = []
    group: list[bytes] = []
    size = 0
    for packet in packets:
        need = len(packet) + tag_length
        if group and (size + need > _LARGEST_SEND or len(group) == MOST_SEGMENTS):
            templates.append(_template(group, tag_length))
            group, size = [], 0
        group.append(packet)
        size += need
    if group:
        templates.append(_template(group, tag_length))
    return templates


def _template(packets: list[bytes], tag_length: int) -> Template:
    room = bytes(tag_length)
    places: list[tuple[int, int]] = []
    runs: list[Run] = []
    offset = run_start = segment = 0
    open_run = False
    for packet in packets:
        size = len(packet) + tag_length
        if open_run and size > segment:
            runs.append(Run(run_start, offset - run_start, segment))
            open_run = False
        if not open_run:
            run_start, segment, open_run = offset, size, True
        places.append((offset, len(packet)))
        offset += size
        if size < segment:
            runs.append(Run(run_start, offset - run_start, segment))
            open_run = False
    if open_run:
        runs.append(Run(run_start, offset - run_start, segment))
    return Template(room.join([*packets, b""]), tuple(places), tag_length, tuple(runs))


class Wire:
    """Sends to one viewer; packets are lost rather than queued when its socket is full."""

    def __init__(self, path: compat.Path) -> None:
        self.tag_length = path.tag_length
        self.address = path.address
        self._path = path

    def send(self, template: Template) -> None:
        """Send every packet of a template."""
        buffer = template.buffer
        for offset, length in template.packets:
            self.send_packet(buffer[offset : offset + length])

    def send_packet(self, packet: bytes) -> None:
        """Send one RTP packet."""
        try:
            self._path.transport.sendto(self._path.session.protect(packet), self._path.address)
        except pylibsrtp.Error:  # too old to be sent again
            return

    def send_control(self, packet: bytes) -> None:
        """Send one RTCP packet."""
        self._path.transport.sendto(self._path.session.protect_rtcp(packet), self._path.address)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._path.socket:
            self._path.socket.close()


class SegmentedWire(Wire):
    """Protects a whole picture where it lies and hands it to the kernel in one call per run of equal packets."""

    def __init__(self, path: compat.Path, own: socket.socket) -> None:
        super().__init__(path)
        self._handle = path.handle
        self._sendmsg = own.sendmsg
        self._segmenting = True

    def send(self, template: Template) -> None:
        """Send every packet of a template; falls back to one by one where the kernel cannot segment."""
        if not self._segmenting:
            super().send(template)
            return
        scratch = _scratch()
        scratch.fill(template.buffer)
        if scratch.protect(self._handle, template):
            return
        try:
            for run in template.runs:
                ancillary = _ancillary(run.segment) if run.length > run.segment else ()
                self._sendmsg((scratch.view[run.offset : run.offset + run.length],), ancillary, 0, self.address)
        except BlockingIOError:
            return  # its socket is full: the viewer asks again for what it misses
        except ConnectionError:
            return  # an ICMP answer to an earlier packet; whether the peer is gone is found by its silence
        except OSError as error:
            log.info("segmented send refused", extra={"errno": error.errno})
            self._segmenting = False


class _Scratch:
    """The one buffer in which packets are protected; only ever used between two awaits of the loop."""

    def __init__(self) -> None:
        self._memory: Any = compat.ffi.new("char[]", SCRATCH_BYTES)
        self._length: Any = compat.ffi.new("int *")
        self._move = compat.ffi.memmove
        self._protect = compat.srtp.srtp_protect
        self.view = memoryview(compat.ffi.buffer(self._memory))

    def fill(self, data: bytes) -> None:
        self._move(self._memory, data, len(data))

    def protect(self, handle: object, template: Template) -> int:
        """Protect each packet where it lies; tells libsrtp's error, 0 for none."""
        memory, length, protect = self._memory, self._length, self._protect
        status = 0
        for offset, size in template.packets:
            length[0] = size
            status |= protect(handle, memory + offset, length)
        return int(status)


@cache
def _scratch() -> _Scratch:
    return _Scratch()


@cache
def _ancillary(segment: int) -> tuple[tuple[int, int, bytes], ...]:
    return ((socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("H", segment)),)


def can_segment() -> bool:
    """Find out whether this kernel segments UDP, by sending two packets to itself."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(1.0)
            sender.sendmsg([bytes(200)], _ancillary(100), 0, receiver.getsockname())
            return len(receiver.recv(2048)) == 100 and len(receiver.recv(2048)) == 100
        except OSError:
            return False
