"""How vendors of one wire format differ: each row is one vendor's deviations, from its public documentation."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REASONING_MODEL = re.compile(r"(o\d|gpt-5)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a vendor of Chat Completions wants done differently."""

    reasoning_back: str = ""
    """The field in which an assistant's earlier thoughts must come back; empty: they are dropped."""
    system_anywhere: bool = False
    """Whether a system message may stand in the middle; else it is folded into the user's turn."""
    alternating: bool = False
    """Whether turns of one role must be merged."""
    required: str = "required"
    """The word for "call some tool"."""
    stream_options: bool = True
    """Whether usage in a stream has to be asked for."""
    stops: int = 4
    most_tokens: int = 0
    """Cap of ``max_tokens`` unless the provider is configured with one; 0 for none."""
    top_k: bool = False
    images: bool = True
    short_tool_ids: bool = False
    """Whether tool ids must be exactly nine letters and digits."""
    reasoning_models: bool = False
    """Whether some models think, and take other fields than the rest."""
    safety_identifier: bool = False
    effort: str = ""
    """How effort is told: ``reasoning_effort``, or ``reasoning`` as an object; empty: not at all."""

    def thinks(self, model: str) -> bool:
        """Tell whether the model is one of those that take other fields."""
        return self.reasoning_models and _REASONING_MODEL.match(model) is not None

    def tool_id(self, tool_id: str) -> str:
        """Spell a tool's id as the vendor takes it; the same id always comes out the same."""
        if not self.short_tool_ids or re.fullmatch(r"[A-Za-z0-9]{9}", tool_id):
            return tool_id
        number = int.from_bytes(hashlib.sha256(tool_id.encode()).digest()[:8])
        return "".join(_ALPHABET[number // 62**place % 62] for place in range(9))


GENERIC = Dialect()
DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect(system_anywhere=True, reasoning_models=True, safety_identifier=True, effort="reasoning_effort"),
    "deepseek": Dialect(reasoning_back="reasoning_content", system_anywhere=True, most_tokens=8192, stops=16),
    "openrouter": Dialect(reasoning_back="reasoning", system_anywhere=True, top_k=True, effort="reasoning"),
    "groq": Dialect(system_anywhere=True, images=False),
    "mistral": Dialect(alternating=True, required="any", stream_options=False, short_tool_ids=True, stops=16),
    "xai": Dialect(system_anywhere=True),
    "grok": Dialect(system_anywhere=True),
    "ollama": Dialect(top_k=True),
}
