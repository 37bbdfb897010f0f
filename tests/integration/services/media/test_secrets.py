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
