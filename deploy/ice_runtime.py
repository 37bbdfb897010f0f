"""Make `import Ice` work in this environment: Debian's build where it fits, else the locked source, compiled once.

ZeroC publishes no Linux wheel of Ice 3.7. `obtain` may take minutes, so `make setup` runs it beside the other
installations; `install` afterwards takes a moment.
"""

import fcntl
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from deploy import debian, ice_build


def obtain() -> Path | None:
    """Return the wheel to install, compiling it first if nobody has; None if Debian's build serves."""
    if debian.ice_modules():
        return None
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulsegate" / f"ice-{ice_build.recipe()}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two checkouts set up at once compile once
        return cached(folder) or ice_build.build(folder)


def install() -> None:
    """Put Ice into this environment and import it."""
    wheel = obtain()
    if wheel:
        uv = Path(sys.executable).with_name("uv")
        options = ["--quiet", "--python", sys.executable, "--no-deps", "--reinstall"]
        subprocess.run([uv, "pip", "install", *options, wheel], check=True)
    else:
        link(debian.ice_modules(), Path(sysconfig.get_path("platlib")))
    proof = "import Ice; print('ice: runtime', Ice.stringVersion(), 'is ready', flush=True)"
    subprocess.run([sys.executable, "-c", proof], check=True)


def link(modules: list[Path], site_packages: Path) -> None:
    """Show these modules, and no neighbour of theirs, to an environment."""
    for module in modules:
        here = site_packages / module.name
        here.unlink(missing_ok=True)
        here.symlink_to(module)


def cached(folder: Path) -> Path | None:
    """Find the wheel of the locked release for this Python."""
    tag = sys.implementation.cache_tag.replace("cpython-", "cp")
    return next(folder.glob(f"zeroc_ice-{ice_build.release()}-{tag}-{tag}-*.whl"), None)


if __name__ == "__main__":
    {"obtain": obtain, "install": install}[sys.argv[1]]()
