"""Scan manifests with checkov and print what it found as JSON; runs in checkov's own environment.

Its command line imports every kind of file it knows, which takes longer than the scan of this one kind.
"""

import json
import sys

from checkov.kubernetes.runner import Runner  # type: ignore[import-not-found]  # not in the environment of mypy
from checkov.runner_filter import RunnerFilter  # type: ignore[import-not-found]


def main(files: list[str]) -> None:
    """Print how many checks passed and, of those that failed, id, object and name."""
    report = Runner().run(root_folder=None, files=files, runner_filter=RunnerFilter(framework=["kubernetes"]))
    failed = [{"id": one.check_id, "object": one.resource, "name": one.check_name} for one in report.failed_checks]
    json.dump({"passed": len(report.passed_checks), "failed": failed}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
