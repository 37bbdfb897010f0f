"""What Debian's packages spare a developer, installed only where that needs nobody's password."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ICE_PACKAGE = "python3-zeroc-ice"
ICE_BUILD_PACKAGES = ["g++", "libbz2-dev", "libssl-dev"]
PACKAGES = ["curl", "jq", "libgomp1"]  # two for the tests; the last, part of every g++, loads the embedded model
TEST_PACKAGES = ["chromium", "coturn", "espeak-ng"]  # a browser, a TURN server, and a voice for who listens to it
SERVICES = ["coturn"]  # Debian starts it at once, for everybody: tests start their own
MODULES = Path("/usr/lib/python3/dist-packages")
APT_GET = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]


def ice_modules(modules: Path = MODULES) -> list[Path]:
    """Return what Debian has installed of `import Ice` for this Python, or nothing if it is for another one."""
    extensions = list(modules.glob(f"IcePy.{sys.implementation.cache_tag}-*.so"))
    return [modules / "Ice", *extensions] if extensions else []


def python_of(description: str) -> tuple[int, int] | None:
    """Read from `apt-cache show` which Python a compiled module is built for."""
    found = re.search(r"^Depends:.*\bpython3 \(>= (\d+)\.(\d+)", description, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def apt_get() -> list[str] | None:
    """Return the command that installs packages without asking anybody, if this user has one."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return APT_GET
    trial = ["sudo", "-n", "true"]
    allowed = shutil.which("sudo") and subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return ["sudo", "-n", *APT_GET] if allowed else None


def ice_fits() -> bool:
    """Tell whether Debian's Ice, installed or one command away, loads into this Python."""
    if ice_modules():
        return True
    command = apt_get()
    if command is None:
        return False
    if not _described(ICE_PACKAGE):
        _update(command)  # a fresh machine knows no packages yet
    return python_of(_described(ICE_PACKAGE)) == sys.version_info[:2]


def setup_packages() -> list[str]:
    """Return what everything and most tests want; `make test` installs what only some tests want."""
    return [*PACKAGES, *([ICE_PACKAGE] if ice_fits() else ICE_BUILD_PACKAGES)]


def install_missing(wanted: Sequence[str]) -> None:
    """Install what is wanted of Debian, or say what is missing: neither is a reason to stop."""
    missing = _missing(wanted)
    command = apt_get()
    if missing and command:
        _update(command)
        _say(f"installing {' '.join(missing)}")
        options = ["-y", "--no-install-recommends"]
        subprocess.run([*command, "install", *options, *missing], check=False, stdout=subprocess.DEVNULL)
        _keep_from_running(command, [one for one in missing if one in SERVICES])
        missing = _missing(wanted)
    if missing:
        _say(f"still missing, something may not work: {' '.join(missing)}")


def _described(package: str) -> str:
    return subprocess.run(["apt-cache", "show", package], capture_output=True, check=False, text=True).stdout


def _missing(packages: Sequence[str]) -> list[str]:
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    known = subprocess.run(query, capture_output=True, check=False, text=True).stdout.splitlines()
    return [package for package in packages if f"{package} installed" not in known]


def _keep_from_running(command: list[str], services: Sequence[str]) -> None:
    """Stop what an installation has just started; where there is no systemd nothing was."""
    if services and shutil.which("systemctl"):
        as_root = command[: command.index("env")]
        subprocess.run([*as_root, "systemctl", "disable", "--quiet", "--now", *services], check=False)


def _update(command: list[str]) -> None:
    _say("reading the lists of packages")
    subprocess.run([*command, "update"], check=False)


def _say(text: str) -> None:
    print(f"debian: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["ice-fits"]:
        sys.exit(not ice_fits())
    if shutil.which("dpkg-query"):
        install_missing(TEST_PACKAGES if sys.argv[1:] == ["tests"] else setup_packages())
