"""The table of façades: one row per documented REST API."""

from gateway.facade import Facade
from gateway.facades import converter, llmproxy, media

FACADES: tuple[Facade, ...] = (converter.FACADE, media.FACADE, llmproxy.FACADE)
