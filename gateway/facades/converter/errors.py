"""How the converter tells an error: in Spanish, as the documented JSON object."""

from typing import Final, NoReturn

from flask import Response, jsonify
from werkzeug.exceptions import BadRequest

from gateway.errors import BackendError

DISCONNECTED = "Servidor ICE desconectado"
INTERNAL = "Error interno del servidor"

# What a view knows better it says itself.
TEXTS: Final = {
    400: "Solicitud inválida",
    404: "Ruta no encontrada",
    405: "Método no permitido",
    408: "La solicitud no llegó completa a tiempo",
    413: "Solicitud demasiado grande",
    415: "Tipo de contenido no admitido: se espera application/json",
    429: "Demasiadas solicitudes",
    431: "Cabeceras demasiado grandes",
    503: "Servidor ocupado",
}


class Refused(BadRequest):
    """The request cannot be answered, for the reason in ``text``; ``more`` goes beside it into the answer."""

    def __init__(self, text: str, **more: object) -> None:
        super().__init__()
        self.text = text
        self.more = more


def refuse(text: str) -> NoReturn:
    """Answer 400 with a text."""
    raise Refused(text)


def error_response(status: int, error: Exception) -> Response:
    """Tell an error in the documented envelope; a backend's failure, whatever it is, is the same 503."""
    if isinstance(error, BackendError):
        return _told(503, DISCONNECTED)
    text = error.text if isinstance(error, Refused) else TEXTS.get(status, INTERNAL)
    more = error.more if isinstance(error, Refused) else {}
    return _told(status, text, **more)


def _told(status: int, text: str, **more: object) -> Response:
    response = jsonify(error=text, **more)
    response.status_code = status
    return response
