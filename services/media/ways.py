"""How media leaves and comes in on this machine: the fastest ways that work with its kernel and its libraries."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.media import compat
from services.media.inbound import Inbound
from services.media.peer import Media
from services.media.publishing import Publishing
from services.media.sources import Encoding
from services.media.transcoding import Transcoding
from services.media.wire import can_segment

log = logging.getLogger(__name__)

AskForKey = Callable[[], None]


@dataclass(frozen=True)
class Ways:
    """What a viewer is sent by, and what makes the receiving half of a publisher's peer."""

    fan_out: str
    receive: Callable[[Callable[[AskForKey], Inbound], Callable[[Inbound], None]], Media]


async def choose(wanted: str, encoding: Encoding, publish_bitrate: int) -> Ways:
    """Take the fastest ways that work here, and say which."""
    if wanted != "stock":
        try:
            compat.self_test()
            await compat.self_test_peer()
        except compat.Missing as error:
            log.warning("neither shared fan-out nor receiving without decoding", extra={"reason": str(error)})
            wanted = "stock"
    if wanted == "auto" and not can_segment():
        wanted = "plain"
    log.info("fan-out", extra={"way": wanted})
    if wanted == "stock":
        return Ways(wanted, partial(Transcoding, encoding=encoding))
    return Ways(wanted, partial(Publishing, most_bitrate=publish_bitrate))
