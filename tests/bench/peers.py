"""What the gateway is measured against: the shape the originals have, and plain servers of well-known speed."""

import sys

import grpc
from flask import Flask, jsonify, request
from werkzeug.serving import run_simple

from gen.converter.v1 import converter_pb2, converter_pb2_grpc

NODE = """
const body = '{"connected":true,"servidor":"localhost:10000"}\\n';
require('http').createServer((request, response) => {
  response.writeHead(200, {'Content-Type': 'application/json', 'Content-Length': body.length});
  response.end(body);
}).listen(%d, '127.0.0.1');
"""

NGINX = """
daemon off; worker_processes 1; pid %(folder)s/nginx.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
  server {
    listen 127.0.0.1:%(port)d;
    location / {
      default_type application/json;
      return 200 '{"connected":true,"servidor":"localhost:10000"}\\n';
    }
  }
}
"""


def serve_as_the_original(port: int, backend: str) -> None:
    """Serve status and conversions as the original does: Flask's development server and one blocking stub."""
    app = Flask("original")
    stub = converter_pb2_grpc.ConverterServiceStub(grpc.insecure_channel(backend))

    @app.get("/api/status")
    def status():
        return jsonify(connected=stub is not None, servidor="localhost:10000")

    @app.post("/api/convert")
    def convert():
        asked = request.get_json()
        answer = stub.Convert(
            converter_pb2.ConvertRequest(
                category=asked["categoria"], value=asked["valor"], from_unit=asked["desde"], to_unit=asked["hasta"]
            ),
            timeout=5,
        )
        return jsonify(resultado=answer.value)

    run_simple("127.0.0.1", port, app, threaded=True)


if __name__ == "__main__":
    serve_as_the_original(int(sys.argv[1]), sys.argv[2])
