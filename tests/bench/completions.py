"""A vendor of Chat Completions that costs next to nothing: ready bytes for every request, fifty tokens each."""

import asyncio
import json
import sys

import uvloop

WORDS = [f"word{number} " for number in range(50)]
USAGE = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
MESSAGE = {"role": "assistant", "content": "".join(WORDS)}
WHOLE = json.dumps({**HEAD, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": USAGE})


def answer() -> bytes:
    """Write the whole answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(WHOLE),
        WHOLE.encode(),
    )


def chunks() -> list[bytes]:
    """Write the streamed answer, each event as a chunk of its own."""

    def event(**fields: object) -> bytes:
        return f"data: {json.dumps({**HEAD, 'object': 'chat.completion.chunk', **fields})}\n\n".encode()

    def choice(reason: str | None = None, **delta: str) -> list[dict[str, object]]:
        return [{"index": 0, "delta": delta, "finish_reason": reason}]

    events = [event(choices=choice(role="assistant", content=""))]
    events += [event(choices=choice(content=word)) for word in WORDS]
    events += [event(choices=choice("stop")), event(choices=[], usage=USAGE), b"data: [DONE]\n\n"]
    return [b"%x\r\n%s\r\n" % (len(one), one) for one in events] + [b"0\r\n\r\n"]


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER, CHUNKS = answer(), chunks()


class Vendor(asyncio.Protocol):
    """Reads as much of HTTP as the proxies under load write."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self._buffer[:end].lower(), self._buffer[end + 4 :]
            if b"transfer-encoding: chunked" in head:
                if (last := rest.find(b"0\r\n\r\n")) < 0:
                    return
                body, self._buffer = rest[:last], rest[last + 5 :]
            else:
                at = head.find(b"content-length:")
                length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                if len(rest) < length:
                    return
                body, self._buffer = rest[:length], rest[length:]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(STREAM_HEAD)  # each chunk its own write, as a model makes them
            for chunk in CHUNKS:
                self._transport.write(chunk)
        else:
            self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
