"""Compile the Ice runtime from its locked source on all cores, which setuptools alone does one file at a time."""

import contextlib
import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import setuptools.build_meta

LOCK = Path(__file__).with_name("ice.lock")
CORE_SECONDS = 400  # measured, all files
FLAGS = "-O1 -g0"  # two thirds of the work of Python's own -O3 -g, and a tenth of the size
HEADERS = ["Python.h", "bzlib.h", "openssl/ssl.h"]
UNCHECKED = "PyObjectHandle p = createString(val);"
CHECKED = "PyObjectHandle p = createString(val); if(!p.get()) throw AbortMarshaling();"
REMEDY = "apt-get install g++ libssl-dev libbz2-dev, and python3-dev for a Debian Python"


def release(lock: Path = LOCK) -> str:
    """Read which release of Ice the lock names."""
    return lock.read_text().partition("zeroc-ice==")[2].split()[0]


def recipe() -> str:
    """Name everything that decides what comes out, so that a wheel made otherwise is not taken for it."""
    return hashlib.sha256(f"{LOCK.read_text()}{FLAGS}{CHECKED}".encode()).hexdigest()[:12]


def build(folder: Path) -> Path:
    """Compile the locked source and leave the wheel in a folder."""
    if not compiles("".join(f"#include <{header}>\n" for header in HEADERS)):
        raise SystemExit(f"ice: no C++ compiler, or one of {', '.join(HEADERS)} is missing: {REMEDY}")
    cores = os.cpu_count() or 1
    minutes = CORE_SECONDS / cores / 60
    say(f"compiling release {release()} from source, once, in about {minutes:.0f} minutes on {cores} idle cores")
    with tempfile.TemporaryDirectory(dir=folder) as scratch, compiling_in_parallel(cores):
        wheel = build_wheel(repair(unpack(download(Path(scratch)))))
        return wheel.rename(folder / wheel.name)


def compiles(code: str) -> bool:
    """Try a piece of C++ on the compiler that setuptools will call."""
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-fsyntax-only", "-I", sysconfig.get_path("include"), "-x", "c++", "-"]
    try:
        return subprocess.run(command, input=code, text=True, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def download(folder: Path) -> Path:
    """Fetch the source archive and check it against the lock."""
    options = ["--quiet", "--no-deps", "--no-binary=zeroc-ice", "--no-build-isolation", "--require-hashes"]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-r", LOCK, "-d", folder], check=True)
    return next(folder.glob("*.tar.gz"))


def unpack(archive: Path) -> Path:
    """Unpack a source archive beside itself."""
    with tarfile.open(archive) as source:
        source.extractall(archive.parent, filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def repair(source: Path) -> Path:
    """Refuse text that is not UTF-8, for which release 3.7.11 passes a null to Python.

    With Python 3.13 any client of the Ice port could crash the process by it; the same file checks everywhere else.
    """
    file = source / "dist/ice/python/modules/IcePy/Types.cpp"
    code = file.read_text()
    if code.count(UNCHECKED) != 1:
        raise SystemExit(
            f"ice: release {release()} reads otherwise than the one this repair was written for; look again"
        )
    file.write_text(code.replace(UNCHECKED, CHECKED))
    return source


def build_wheel(source: Path) -> Path:
    """Run the build of an unpacked source as pip would, keeping its chatter for when it fails."""
    log = source.with_name("build.log")
    before = Path.cwd()
    os.chdir(source)
    os.environ["CFLAGS"] = os.environ["CXXFLAGS"] = FLAGS
    try:
        with log.open("w") as chatter, contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
            return source.with_name(setuptools.build_meta.build_wheel(str(source.parent)))
    except BaseException:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        os.chdir(before)


@contextlib.contextmanager
def compiling_in_parallel(cores: int) -> Iterator[None]:
    """Let setuptools compile the files of one extension side by side and tell how far it is.

    It has no option for that; replacing this one method is what the builds of numpy and pybind11 do too.
    """
    from distutils import ccompiler  # setuptools' own copy, there only after setuptools is imported

    compilers: Any = ccompiler.CCompiler
    one_by_one = compilers.compile

    def side_by_side(compiler: object, sources: list[str], **options: object) -> list[str]:
        objects: list[str] = []
        with ThreadPoolExecutor(cores) as pool:
            for compiled in pool.map(lambda source: one_by_one(compiler, [source], **options), sources):
                objects += compiled
                if len(objects) % (len(sources) // 10 or 1) == 0:
                    say(f"compiled {len(objects)} of {len(sources)} files")
        return objects

    compilers.compile = side_by_side
    try:
        yield
    finally:
        compilers.compile = one_by_one


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"ice: {text}", file=sys.__stderr__, flush=True)
