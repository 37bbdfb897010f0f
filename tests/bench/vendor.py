"""A provider for the bench: Anthropic's stream, a word four times a second until the client leaves."""

import asyncio
import json
import sys

from aiohttp import web

PAUSE_SECONDS = 0.25


async def stream(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "slow", "content": [], "usage": usage}
    for event in (
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ):
        await answer.write(_written(event))
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        delta = {"type": "text_delta", "text": "word "}
        await answer.write(_written({"type": "content_block_delta", "index": 0, "delta": delta}))


async def alive(_request: web.Request) -> web.Response:
    return web.Response()


def _written(event: dict[str, object]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/api/status", alive), web.post("/{path:.*}", stream)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
