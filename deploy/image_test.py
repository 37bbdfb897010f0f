"""Build every image from Debian alone, run them together as the Dockerfile says, ask them, and stop them.

No registry of images is needed: debootstrap makes what `debian:bookworm-slim` is, and the unchanged Dockerfile is built
on it. Needs root and Debian's packages; keeps the base for the next time.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy import debian

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulsegate" / "images"
BASE = "docker.io/library/debian:bookworm-slim"
PROGRAMS = {"debootstrap": "debootstrap", "buildah": "buildah", "podman": "podman", "runc": "runc"}
LEFT_OUT = ["doc", "groff", "info", "linda", "lintian", "locale", "man"]  # what Debian's slim image leaves out too
STORE = ["--root", str(CACHE / "store"), "--runroot", str(CACHE / "run"), "--storage-driver", "overlay"]
BUILDAH = ["buildah", *STORE]
PODMAN = ["podman", *STORE, "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]  # podman's own are more than a sandbox grants
READY_SECONDS = 120
STOP_SECONDS = 30

JSON = ["--header", "Content-Type: application/json", "--data"]
LENGTH = '{"categoria": "longitud", "valor": 5, "desde": "km", "hasta": "mi"}'
MESSAGE = '{"model": "local", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello!"}]}'

# The health checks that the originals document, word for word, and then work that only a backend can do; what is asked
# of the gateway with which words of the answer.
ASKED = [
    (["http://localhost:4500/api/health"], '"status":'),
    (["http://localhost:3456/status"], '"running"'),
    (["http://localhost:4500/api/ready"], '"checks":'),
    (["http://localhost:5000/api/status"], '"connected":true'),
    (["http://localhost:8080/api/services?service=media.v1.MediaService"], '"SERVING"'),
    (["http://localhost:8080/api/services?service=llmproxy.usage"], '"SERVING"'),
    ([*JSON, LENGTH, "http://localhost:5000/api/convert"], "3.1"),
    ([*JSON, MESSAGE, "http://localhost:3456/v1/messages"], '"output_tokens":'),
]


def main() -> None:
    """Run the whole test; the first thing that is not as it should be ends it."""
    prepare()
    processes = ["gateway", *sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))]
    for process in processes:
        started = time.monotonic()
        build(process)
        print(f"{process}: built in {time.monotonic() - started:.0f} s, {megabytes(process)} MB", flush=True)
    try:
        for process in reversed(processes):  # the gateway last; all of them share the first one's network
            start(process, None if process == processes[-1] else processes[-1])
        for process in processes:
            wait_until_healthy(process)
            check_confinement(process)
        for question, words in ASKED:
            answer = podman("exec", name("gateway"), "curl", "-f", *question)
            expect("gateway", " ".join(question), words in answer, wanted=True)
            print(f"gateway: curl -f {' '.join(question)}: ok", flush=True)
        for process in processes:
            stop(process)
    finally:
        for process in processes:  # the one whose network the others share comes last
            subprocess.run([*PODMAN, "rm", "--force", name(process)], capture_output=True, check=False)


def prepare() -> None:
    """Install the tools that are missing and make the base image once."""
    command = debian.apt_get()
    if command is None or os.geteuid() != 0:
        raise SystemExit("image-test: needs root on Debian")
    if missing := [package for program, package in PROGRAMS.items() if not shutil.which(program)]:
        subprocess.run([*command, "update", "-qq"], check=True)
        subprocess.run([*command, "install", "-qq", "-y", "--no-install-recommends", *missing], check=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    if subprocess.run([*BUILDAH, "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode:
        make_base(CACHE / "rootfs")


def make_base(rootfs: Path) -> None:
    """Make what Debian's slim image is, trusting what this machine trusts besides."""
    print("base: debootstrap, two to five minutes", flush=True)
    shutil.rmtree(rootfs, ignore_errors=True)
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", rootfs], stdout=subprocess.DEVNULL, check=True)
    for folder in ("var/cache/apt", "var/lib/apt/lists", "var/log", *(f"usr/share/{one}" for one in LEFT_OUT)):
        shutil.rmtree(rootfs / folder, ignore_errors=True)
        (rootfs / folder).mkdir(parents=True)
    (rootfs / "var/lib/apt/lists/partial").mkdir()
    excluded = "".join(f"path-exclude /usr/share/{one}/*\n" for one in LEFT_OUT)
    (rootfs / "etc/dpkg/dpkg.cfg.d/docker").write_text(excluded)
    own = Path("/usr/local/share/ca-certificates")
    if own.is_dir():
        shutil.copytree(own, rootfs / own.relative_to("/"), dirs_exist_ok=True)
    container = run(*BUILDAH, "from", "scratch")
    run(*BUILDAH, "add", "--quiet", container, str(rootfs), "/")
    run(*BUILDAH, "commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(rootfs)


def build(process: str) -> None:
    """Build one image; its output is shown only if that fails."""
    isolated = ["--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--layers"]
    arguments = ["--build-arg", f"NAME={process}", "--tag", f"pulsegate/{process}"]
    run(*BUILDAH, "build", *isolated, *arguments, str(ROOT))


def start(process: str, beside: str | None) -> None:
    """Run one container as compose does: read-only, without capabilities, and on no network but the shared one."""
    network = f"container:{name(beside)}" if beside else "none"
    confined = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    volume = ["--volume", "/var/lib/pulsegate"]
    podman("rm", "--force", "--ignore", name(process))
    podman(
        "run", "--detach", "--name", name(process), "--network", network, *confined, *volume, *LIMITS, image(process)
    )


def wait_until_healthy(process: str) -> None:
    """Run the image's own health check until it succeeds."""
    started = time.monotonic()
    while subprocess.run([*PODMAN, "healthcheck", "run", name(process)], capture_output=True, check=False).returncode:
        if time.monotonic() - started > READY_SECONDS:
            log = subprocess.run([*PODMAN, "logs", name(process)], capture_output=True, text=True, check=False)
            raise SystemExit(f"{process}: not healthy within {READY_SECONDS} s\n{log.stdout}{log.stderr}")
        time.sleep(0.5)
    print(f"{process}: healthy after {time.monotonic() - started:.0f} s more", flush=True)


def check_confinement(process: str) -> None:
    """See from inside that the process is nobody and can write nothing."""
    status = podman("exec", name(process), "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    expect(process, "uid", facts["Uid"].split(), ["10001"] * 4)
    expect(process, "capabilities", facts["CapEff"].strip("0\t "), "")
    expect(process, "no new privileges", facts["NoNewPrivs"].strip(), "1")
    writable = subprocess.run([*PODMAN, "exec", name(process), "touch", "/app/x"], capture_output=True, check=False)
    expect(process, "a writable root", writable.returncode == 0, wanted=False)
    compilers = subprocess.run([*PODMAN, "exec", name(process), "sh", "-c", "command -v cc gcc c++ pip uv"],
                               capture_output=True, text=True, check=False)  # fmt: skip
    expect(process, "tools of the build", compilers.stdout, "")
    print(f"{process}: uid 10001, no capability, read-only; {int(facts['VmRSS'].split()[0]) // 1024} MB resident")


def stop(process: str) -> None:
    """Send SIGTERM and expect an exit with code 0 in time."""
    started = time.monotonic()
    podman("stop", "--time", str(STOP_SECONDS), name(process))
    state = json.loads(podman("inspect", name(process)))[0]["State"]
    expect(process, "exit code after SIGTERM", state["ExitCode"], 0)
    print(f"{process}: SIGTERM, exit code 0 after {time.monotonic() - started:.1f} s")


def megabytes(process: str) -> int:
    """Tell how large an image is."""
    return int(json.loads(run(*BUILDAH, "images", "--json", image(process)))[0]["size"].split()[0].partition(".")[0])


def expect(process: str, what: str, found: object, wanted: object) -> None:
    """End the test unless a fact is as it should be."""
    if found != wanted:
        raise SystemExit(f"{process}: {what}: {found!r} instead of {wanted!r}")


def image(process: str) -> str:
    """Name an image."""
    return f"localhost/pulsegate/{process}"


def name(process: str) -> str:
    """Name a container."""
    return f"pulsegate-image-test-{process}"


def podman(*arguments: str) -> str:
    """Run podman, which must succeed."""
    return run(*PODMAN, *arguments)


def run(*command: str) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        raise SystemExit(f"image-test: failed: {' '.join(command)}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
