"""What a route may ask of a request: the ``conditions`` of CCProxy's configuration."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN_COUNT, PARAMETER, MODEL = "tokenCount", "parameter", "model"
KINDS = (TOKEN_COUNT, PARAMETER, MODEL)
_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
OPERATORS = (*_ORDERED, "==", "!=", "contains")


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition; without a ``name`` a parameter's is the value: the request has it, or with ``!=`` lacks it."""

    kind: str
    operator: str
    value: Any
    name: str = ""

    def holds(self, fields: Mapping[str, Any], count_tokens: Callable[[], int]) -> bool:
        """Tell whether a request meets it; what cannot be compared does not."""
        if self.kind == PARAMETER and not self.name:
            return bool(fields.get(str(self.value))) != (self.operator == "!=")
        if self.kind == TOKEN_COUNT:
            actual: Any = count_tokens()
        else:
            actual = fields.get("model" if self.kind == MODEL else self.name)
        return self._compares(actual)

    def _compares(self, actual: Any) -> bool:  # noqa: ANN401  any JSON
        if self.operator in ("==", "!="):
            return bool(actual == self.value) == (self.operator == "==")
        try:
            if self.operator == "contains":
                return bool(self.value in actual)
            return bool(_ORDERED[self.operator](actual, self.value))
        except TypeError:
            return False
