"""A provider in the test's own process that gives everyone the same answer."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Vendor(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.asked.append(dict(self.headers))
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "1", "object": "chat.completion", "model": "same", "choices": [choice], "usage": usage}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving_vendor(system):
    """Serve the vendor, and make it the default provider of a system that is still to be started."""
    with serving(Vendor) as server:
        provider = {"name": "vendor", "api_base_url": f"{server.url}/v1", "models": ["same"], "api_key": "k"}
        document = {"providers": [provider], "routes": {"default": {"provider": "vendor", "model": "same"}}}
        (system.folder / "config.json").write_text(json.dumps(document))
        yield server


@contextmanager
def serving(handler):
    """Serve HTTP on a thread; what was asked is noted in ``asked``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
