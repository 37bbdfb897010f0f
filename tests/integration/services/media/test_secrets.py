import hashlib
import json
import logging

import pytest

from gen.media.v1 import media_pb2

PLANTED = ("planted-password", "planted-token", "planted-turn", "/planted/folder")


@pytest.fixture
def told(caplog):
    """Collect everything that is logged."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text + "".join(str(record.__dict__) for record in caplog.records)


async def test_no_planted_secret_is_ever_told(serving, told, unused_tcp_port, player, until):
    source = f"rtsp://user:planted-password@127.0.0.1:{unused_tcp_port}/x?token=planted-token"
    async with serving(
        source=source,
        turn_secret="planted-turn",
        record_dir="/planted/folder/rec",
        turn="true",
        turn_port=unused_tcp_port,
    ) as server:
        await until(lambda: not server.parts.health.serving("media.source"))
        status = await server.status()
        readiness = await server.stub.GetReadiness(media_pb2.GetReadinessRequest(), timeout=5)
        config = await server.stub.GetConfig(media_pb2.GetConfigRequest(), timeout=5)
        answers = f"{status}{readiness}{config}{await server.stub.ListSessions(media_pb2.ListSessionsRequest())}"
    assert status.source.value == f"rtsp://127.0.0.1:{unused_tcp_port}/x?token=***"
    assert status.record_dir == "rec"
    for secret in PLANTED:
        assert secret not in answers
        assert secret not in told()


async def test_no_session_description_is_ever_logged(serving, told, player, until):
    async with serving() as server:
        viewer = player(server)
        logging.getLogger("aioice").setLevel(logging.WARNING)
        logging.getLogger("aiortc").setLevel(logging.WARNING)
        await viewer.play()
        await until(lambda: server.sessions().active == 1)
        assert viewer.session_id not in told()
        password = viewer.answer.partition("a=ice-pwd:")[2].partition("\r\n")[0]
        assert password
        assert password not in told()


async def test_nothing_that_signalling_clients_say_or_must_know_is_logged(serving, told, until):
    digest = hashlib.sha256(b"planted-token").digest()
    async with serving() as server:
        call = server.stub.Signal()
        await call.write(media_pb2.SignalRequest(open={"token_digest": digest, "path": "/?token=planted-token"}))
        for text in ("planted-password", "planted-token"):
            frame = json.dumps({"type": "auth", "user": "planted-turn", "token": text, "data": {"token": text}})
            await call.write(media_pb2.SignalRequest(frame=frame.encode()))
        heard = []
        while not any("planted-turn" in one for one in heard):
            heard += [one.decode() for one in (await call.read()).frames.frames]
        assert '"message":"Authentication failed"' in heard[0]
        assert not any("planted-token" in one or "planted-password" in one for one in heard)
        await call.write(media_pb2.SignalRequest(frame=b'{"type":"message","subtype":"call:init","to":"icey|server"}'))
        await until(lambda: server.parts.calls._calls)
        offer = {"type": "message", "subtype": "call:offer", "to": "icey|server", "data": {"sdp": "v=0 planted-turn"}}
        await call.write(media_pb2.SignalRequest(frame=json.dumps(offer).encode()))
        await until(lambda: not server.parts.calls._calls)
        call.cancel()
    for secret in (*PLANTED, digest.hex()):
        assert secret not in told()
