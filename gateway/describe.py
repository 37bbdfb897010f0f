"""What a view says of itself beyond its docstring, so that its route can be described to programs and people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE: Final = "pulsegate_operation"

Content = str
"""A name of the façade's schemas (JSON), a media type such as ``text/event-stream`` (text), both by comma, or none."""


@dataclass(frozen=True)
class Operation:
    """The contents of a view's answers by status, of the body it reads, and its parameters with what they mean."""

    answers: Mapping[int, Content]
    body: Content = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def describe(
    answers: Mapping[int, Content],
    body: Content = "",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Callable[[View], View]:
    """Say what a view reads and answers; every error not named is in the façade's own envelope."""

    def attach(view: View) -> View:
        setattr(view, _ATTRIBUTE, Operation(answers, body, query or {}, headers or {}))
        return view

    return attach


def not_described(view: View) -> View:
    """Leave a view out: it serves a page's file, or only refuses what is at home elsewhere."""
    setattr(view, _ATTRIBUTE, None)
    return view


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """Return what a view says of itself; raises AttributeError for one that says nothing at all."""
    operation: Operation | None = getattr(view, _ATTRIBUTE)
    return operation
