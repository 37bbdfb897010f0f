"""The converter's REST as clients meet it: a real gateway process before a real gRPC backend."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from importlib import resources

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from gen.converter.v1 import converter_pb2_grpc
from runtime.health import Health, HealthServicer
from runtime.server import SERVER_OPTIONS
from runtime.status import StatusFeed
from services.converter import catalogue, status
from services.converter.embedded import Embedded
from services.converter.servicer import ConverterServicer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        def refuse(constant):
            raise ValueError(f"{constant} is not JSON")

        return json.loads(self.body, parse_constant=refuse)


class HangingServicer(ConverterServicer):
    """A converter that never answers a batch with the category ``hang`` in it."""

    async def ConvertBatch(self, request, context):
        if any(conversion.category == "hang" for conversion in request.conversions):
            await asyncio.Event().wait()
        return await super().ConvertBatch(request, context)


class Backend:
    """The converter's gRPC half, in a loop on a thread of its own; a test decides whether Ice serves."""

    def __init__(self):
        started = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(started),), name="converter")
        self._thread.start()
        self.address = started.result(30)

    def connect(self, *, connected):
        self._loop.call_soon_threadsafe(partial(self._health.set, status.ICE, serving=connected, required=True))

    def close(self):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    async def _run(self, started):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        health = self._health = Health("converter.v1.ConverterService")
        feed = StatusFeed(
            lambda: status.document(health, version="0", started_at=datetime.now(UTC), ice_address="localhost:10000")
        )
        health.on_change(feed.changed)
        known = catalogue.read((resources.files("services.converter") / "quantities.toml").read_text("utf-8"))
        server = grpc.aio.server(options=SERVER_OPTIONS)
        converter_pb2_grpc.add_ConverterServiceServicer_to_server(HangingServicer(Embedded(), known, feed), server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await health.start()
        await server.start()
        started.set_result(f"127.0.0.1:{port}")
        await self._stopping.wait()
        feed.close()
        await health.close()
        await server.stop(None)


class Rest:
    """The converter's REST of a real gateway process."""

    def __init__(self, backend):
        self._backend = backend
        flags = {"converter-target": backend.address, "drain-seconds": "0", "grace-seconds": "1"}
        for name in ("converter", "media", "llmproxy", "operator"):
            flags[f"{name}-port"] = "0"
        command = [sys.executable, "-m", "gateway", *(f"--{name}={value}" for name, value in flags.items())]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._log = threading.Thread(target=self._read_log, args=(ports := Future(),), name="gateway log")
        self._log.start()
        port = ports.result(60)["converter"]
        self.url = f"http://127.0.0.1:{port}/"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, method, path, headers=(), body=None):
        try:
            self._connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in dict(headers).items():
                self._connection.putheader(name, value)
            if body is not None:
                self._connection.putheader("Content-Length", str(len(body)))
            self._connection.endheaders(body)
            response = self._connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except OSError:
            self._connection.close()  # the next request, of another test, finds a new one
            raise

    def convert(self, document, content_type="application/json"):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.send("POST", "/api/convert", {"Content-Type": content_type}, body)

    def connect(self, *, connected):
        """Let Ice serve or not, and wait until the gateway knows."""
        self._backend.connect(connected=connected)
        deadline = time.monotonic() + 30
        while self._says_connected() != connected:
            assert time.monotonic() < deadline, "the gateway never noticed"
            time.sleep(0.005)

    def _says_connected(self):
        try:
            return self.send("GET", "/api/status").json()["connected"]
        except ConnectionRefusedError:  # it logs its ports a moment before it accepts
            return None

    def close(self):
        self._connection.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.join(30)
        self._process.stderr.close()

    def _read_log(self, ports):
        for line in self._process.stderr:
            if not ports.done() and '"listening"' in line:
                ports.set_result(json.loads(line)["ports"])
        if not ports.done():
            ports.set_exception(AssertionError("the gateway ended before it listened"))


@pytest.fixture(scope="session")
def _rest():
    backend = Backend()
    rest = Rest(backend)
    yield rest
    rest.close()
    backend.close()


@pytest.fixture
def rest(_rest):
    """The converter's REST, its backend serving."""
    _rest.connect(connected=True)
    return _rest
