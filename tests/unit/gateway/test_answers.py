from flask import Flask, Response, request

from gateway.answers import Answer, ask


def test_the_view_itself_answers_as_if_a_client_on_this_machine_had_asked():
    app = Flask("facade")

    @app.get("/status")
    def status():
        told = f"{request.remote_addr} {request.host} {request.environ['SERVER_PORT']} {len(request.headers)}"
        return Response(told, 418, content_type="text/plain")

    assert ask(app, 4500, ["/status"]) == [Answer("/status", 418, "text/plain", "127.0.0.1 localhost:4500 4500 1")]


def test_asking_while_another_application_answers_disturbs_neither():
    inner, outer = Flask("inner"), Flask("outer")
    inner.add_url_rule("/", "inner", lambda: request.path + " inside")

    @outer.get("/outside")
    def view():
        (answer,) = ask(inner, 1, ["/"])
        return f"{request.path} saw {answer.body}"

    assert outer.test_client().get("/outside").text == "/outside saw / inside"
