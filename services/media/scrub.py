"""What may leave the process: no credential, and no path beyond its last component."""

import re

_AUTHORITY = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#\s]*)")
_SECRET_PARAMETER = re.compile(
    r"(?P<name>[?&;][^=&;\s#]*(?:token|key|pass|secret|auth)[^=&;\s#]*=)[^&;\s#]*", re.IGNORECASE
)
_PATH = re.compile(r"(?<![\w:/.\\])(?:/|[A-Za-z]:[/\\])[^\s'\",;]+")


def text(value: str) -> str:
    """Remove user information and secret query values from every URL in a text."""
    bare = _AUTHORITY.sub(lambda found: found["scheme"] + found["authority"].rpartition("@")[2], value)
    return _SECRET_PARAMETER.sub(r"\g<name>***", bare)


def reason(value: str) -> str:
    """Scrub a text that says why something failed, and reduce every absolute path in it to its last component."""
    return _PATH.sub(lambda found: last_component(found[0]), text(value))


def last_component(path: str) -> str:
    """Reduce a path, written with either separator, to its last component."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def record_dir(path: str) -> str:
    """Show the record directory as the operator wrote it if relative, else its last component only."""
    absolute = path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", path) is not None
    return last_component(path) if absolute else path
