"""The documented documents of the media server, from what is known of its process and of the gateway's listener."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

PRODUCT, SERVICE = "icey", "icey-server"
MOST_SOCKETS = 1024

_MODES = ("unknown", "stream", "record", "relay")
_STATES = ("unknown", "starting", "running", "draining")
_RESULTS = ("fail", "pass", "warn", "fail")

Message = Any
"""A generated message; this module imports none, so that it stays pure."""

Json = dict[str, Any]
Check = dict[str, str]


@dataclass(frozen=True)
class Listener:
    """What the gateway knows of the HTTP side of the media server: it is the one who listens."""

    host: str
    port: int
    web_root: str
    has_page: bool
    certificate: str = ""
    sockets: int | None = None
    """WebSockets that are carried now; None while nothing runs."""

    @property
    def document(self) -> Json:
        """The ``http`` block."""
        return {"host": self.host, "port": self.port, "scheme": self.scheme, "tls": bool(self.certificate)}

    @property
    def scheme(self) -> str:
        """How the listener is called."""
        return "https" if self.certificate else "http"

    @property
    def tls(self) -> Json:
        """The ``tls`` block."""
        encrypted = bool(self.certificate)
        return {"configured": encrypted, "enabled": encrypted, "certFile": _last(self.certificate)}


def health(version: str) -> Json:
    """Make the liveness document: exactly these four keys."""
    return {"status": "ok", "product": PRODUCT, "service": SERVICE, "version": version}


def ready(statuses: Sequence[Message], serving: bool, listener: Listener, now: float, version: str) -> Json:
    """Make the preflight report of a media process that can be reached; ``statuses`` is of one replica or more."""
    status = statuses[0]
    checks = _checks(status, serving, listener)
    is_ready = all(check["result"] != "fail" for check in checks)
    return {
        "status": _verdict(is_ready, status.preflight.degraded),
        "ready": is_ready,
        "product": PRODUCT,
        "service": SERVICE,
        "mode": _MODES[status.mode],
        "checks": checks,
        "warnings": list(status.preflight.warnings),
        "version": version,
        "uptimeSec": _uptime(statuses, now),
        "runtime": {"state": _STATES[status.state]},
        "source": _source(status),
        "http": listener.document,
        "turn": _turn(status),
        "tls": listener.tls,
        "web": {"root": _last(listener.web_root)},
        "config": _config_file(status),
    }


def doctor(status: Message, listener: Listener, version: str) -> Json:
    """Make the preflight report of a process that does not run, without what only running shows."""
    report = ready([status], serving=True, listener=listener, now=0.0, version=version)
    return {name: value for name, value in report.items() if name not in {"uptimeSec", "runtime"}}


def status(statuses: Sequence[Message], serving: bool, listener: Listener, now: float, version: str) -> Json:
    """Make the runtime document: the report and what runs now; counters are sums over the replicas."""
    first = statuses[0]
    intelligence = first.intelligence
    detail = _intelligence_detail(intelligence)
    booleans = {"vision": intelligence.vision_enabled, "speech": intelligence.speech_enabled}
    return {
        **ready(statuses, serving, listener, now, version),
        "peer": _peer(first),
        "sessions": {
            "active": sum(one.sessions.active for one in statuses),
            "total": sum(one.sessions.total for one in statuses),
            "peak": sum(one.sessions.peak for one in statuses),
            "failed": sum(one.sessions.failed for one in statuses),
        },
        "peers": {"connected": sum(one.signalling_peers for one in statuses)},
        "stream": {"source": first.source.value, "sourceKind": first.source.kind, "loop": first.loop},
        "record": {"dir": first.record_dir},
        "recordings": {
            "active": sum(one.recordings.active for one in statuses),
            "written": sum(one.recordings.written for one in statuses),
        },
        "intelligence": detail if intelligence.as_object else booleans,
        "host": listener.host,
        "port": listener.port,
        "intelligenceDetail": detail,
        "relay": _relay(statuses),
    }


def config(answer: Message, status: Message, listener: Listener, version: str) -> Json:
    """Make what a browser needs to call; ``status`` is the constant ``ok`` here."""
    return {
        "status": "ok",
        "mode": _MODES[status.mode],
        "product": PRODUCT,
        "service": SERVICE,
        "version": version,
        "http": {"host": listener.host, "scheme": listener.scheme, "tls": bool(listener.certificate)},
        "turn": {
            "enabled": answer.turn.enabled,
            "host": answer.turn.host,
            "port": answer.turn.port,
            "username": answer.turn_username,
            "credential": answer.turn_credential,
            "ttlSec": answer.turn_ttl_seconds,
        },
        "stun": {"urls": list(answer.stun_urls)},
        "source": _source(status),
        "peer": _peer(status),
    }


def artifacts(listed: Sequence[Message], root: str) -> Json:
    """List files with the address of each; ``root`` is the prefix this façade is behind."""
    return {
        "status": "ok",
        "artifacts": [
            {
                "name": one.name,
                "url": f"{root}/artifacts/{quote(one.name)}",
                "sizeBytes": one.size_bytes,
                "modifiedAt": one.modified_at.ToJsonString(),
                "active": one.active,
            }
            for one in listed
        ],
    }


def unreachable_ready(listener: Listener, version: str) -> Json:
    """Make the report when no media process answers: the same shape, one failed check that says so."""
    return {
        "status": "error",
        "ready": False,
        "product": PRODUCT,
        "service": SERVICE,
        "mode": "unknown",
        "checks": [_check("media_worker", "fail", "The media process cannot be reached")],
        "warnings": [],
        "version": version,
        "uptimeSec": 0,
        "runtime": {"state": "unreachable"},
        "source": {"value": "", "kind": "none", "remote": False},
        "http": listener.document,
        "turn": {"enabled": False, "host": "", "port": 0, "externalIp": "", "localRelay": False},
        "tls": listener.tls,
        "web": {"root": _last(listener.web_root)},
        "config": {"path": "", "exists": False, "valid": False},
    }


def unreachable_status(listener: Listener, version: str) -> Json:
    """Make the runtime document when no media process answers, in the same shape."""
    off = {"enabled": False, "active": False}
    return {
        **unreachable_ready(listener, version),
        "peer": {"id": "", "name": "", "type": "server"},
        "sessions": {"active": 0, "total": 0, "peak": 0, "failed": 0},
        "peers": {"connected": 0},
        "stream": {"source": "", "sourceKind": "none", "loop": False},
        "record": {"dir": ""},
        "recordings": {"active": 0, "written": 0},
        "intelligence": {"vision": False, "speech": False},
        "host": listener.host,
        "port": listener.port,
        "intelligenceDetail": {"ready": False, "vision": off, "speech": off},
        "relay": _relay([]),
    }


def error(code: str) -> Json:
    """Make the documented error body."""
    return {"status": "error", "error": code}


def _checks(status: Message, serving: bool, listener: Listener) -> list[Check]:
    """Put the checks of the gateway's listener where the documentation has them, between those of the process."""
    told = [_check(one.name, _RESULTS[one.result], one.detail) for one in status.preflight.checks]
    place = next((index for index, check in enumerate(told) if check["name"] == "ffmpeg"), -1) + 1
    behind = next((index for index, check in enumerate(told) if check["name"] == "source"), place - 1) + 1
    checks = [
        *told[:place],
        _web_root(listener),
        _ports(listener, status.turn),
        *told[place:behind],
        _tls(listener),
        *told[behind:],
    ]
    if not serving and all(check["result"] != "fail" for check in checks):
        worker = _check("media_worker", "fail", f"The media process takes no calls: it is {_STATES[status.state]}")
        checks = [worker if check["name"] == "media_worker" else check for check in checks]
    return checks + _signalling(listener)


def _signalling(listener: Listener) -> list[Check]:
    if listener.sockets is None:
        return []
    place = f"{listener.sockets} of {MOST_SOCKETS} sockets on port {listener.port}"
    if listener.sockets < MOST_SOCKETS:
        return [_check("signalling", "pass", f"Symple signalling takes clients: {place}")]
    return [_check("signalling", "warn", f"Symple signalling is at capacity: {place}")]


def _web_root(listener: Listener) -> Check:
    index = f"{listener.web_root}/index.html"
    if listener.has_page:
        return _check("web_root", "pass", f"Found bundled web UI at {index}")
    return _check("web_root", "fail", f"Missing bundled web UI at {index}")


def _tls(listener: Listener) -> Check:
    if listener.certificate:
        return _check("tls", "pass", f"HTTPS/WSS enabled with certificate {listener.certificate}")
    return _check("tls", "pass", "Direct TLS disabled; serving HTTP/WS on the primary port")


def _ports(listener: Listener, turn: Message) -> Check:
    if turn.enabled and turn.port == listener.port:
        return _check("ports", "fail", "HTTP/WS port and TURN port must not be the same")
    return _check("ports", "pass", f"HTTP/WS on {listener.port}, TURN on {turn.port}")


def _check(name: str, result: str, detail: str) -> Check:
    return {"name": name, "result": result, "detail": detail}


def _verdict(is_ready: bool, degraded: bool) -> str:
    if not is_ready:
        return "error"
    return "degraded" if degraded else "ok"


def _uptime(statuses: Sequence[Message], now: float) -> int:
    """Tell the smallest uptime, so that a restart of any replica shows."""
    return max(0, int(min(now - one.started_at.ToNanoseconds() / 1e9 for one in statuses)))


def _source(status: Message) -> Json:
    return {"value": status.source.value, "kind": status.source.kind, "remote": status.source.remote}


def _peer(status: Message) -> Json:
    return {"id": status.peer.id, "name": status.peer.name, "type": status.peer.type}


def _turn(status: Message) -> Json:
    turn = status.turn
    return {
        "enabled": turn.enabled,
        "host": turn.host,
        "port": turn.port,
        "externalIp": turn.external_ip,
        "localRelay": turn.local_relay,
    }


def _config_file(status: Message) -> Json:
    file = status.config
    document = {"path": file.path, "exists": file.exists, "valid": file.valid}
    return document if file.valid else {**document, "error": file.error}


def _intelligence_detail(intelligence: Message) -> Json:
    return {
        "ready": True,
        "vision": {
            **_counters(intelligence.vision_detail),
            "enabled": intelligence.vision_enabled,
            "active": intelligence.vision_active,
        },
        "speech": {
            **_counters(intelligence.speech_detail),
            "enabled": intelligence.speech_enabled,
            "active": intelligence.speech_active,
        },
    }


def _relay(statuses: Sequence[Message]) -> Json:
    """Tell who publishes and how many view, of every replica."""
    streams = [stream for one in statuses for stream in one.relay.streams]
    return {
        "sourcePeer": next((one.relay.source_peer for one in statuses if one.relay.source_peer), ""),
        "viewers": sum(one.relay.viewers for one in statuses),
        "streams": [
            {
                "name": stream.name,
                "publisher": stream.source_peer,
                "waiting": list(stream.waiting_peers),
                "viewers": stream.viewers,
            }
            for stream in streams
        ],
    }


def _counters(detail: Message) -> Json:
    """Undo what Protobuf's structs do to whole numbers."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in dict(detail).items()
    }


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
