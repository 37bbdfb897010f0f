"""What Debian's packages spare a developer, installed only where that needs nobody's password."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ICE_PACKAGE = "python3-zeroc-ice"
ICE_BUILD_PACKAGES = ["g++", "libssl-dev", "libbz2-dev"]
TEST_PACKAGES = ["curl", "jq"]
MODULES = Path("/usr/lib/python3/dist-packages")


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
        return ["apt-get"]
    if not shutil.which("sudo"):
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["sudo", "-n", "apt-get"] if allowed else None


def ice_fits() -> bool:
    """Tell whether Debian's Ice, installed or one command away, loads into this Python."""
    if ice_modules():
        return True
    command = apt_get()
    if command is None:
        return False
    if not _describe(ICE_PACKAGE):
        _update(command)  # a fresh machine knows no packages yet
    return python_of(_describe(ICE_PACKAGE)) == sys.version_info[:2]


def install_missing() -> None:
    """Install what the set-up and the tests want of Debian, or say what is missing and go on."""
    wanted = TEST_PACKAGES + ([ICE_PACKAGE] if ice_fits() else ICE_BUILD_PACKAGES)
    missing = [package for package in wanted if not _installed(package)]
    if not missing:
        return
    command = apt_get()
    if command is None:
        print(f"debian: some of this may be missing, as far as dpkg knows: {' '.join(missing)}")
        return
    print(f"debian: installing {' '.join(missing)}")
    _update(command)
    subprocess.run([*command, "install", "-qq", "-y", "--no-install-recommends", *missing], check=True)


def _describe(package: str) -> str:
    return subprocess.run(["apt-cache", "show", package], capture_output=True, check=False, text=True).stdout


def _installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, check=False, text=True).stdout == "installed"


def _update(command: list[str]) -> None:
    print("debian: reading the lists of packages", file=sys.stderr)
    subprocess.run([*command, "update", "-qq"], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] == ["ice-fits"]:
        sys.exit(not ice_fits())
    if shutil.which("dpkg-query"):
        install_missing()
