from dataclasses import replace
from time import time

import pytest
from prometheus_client import CollectorRegistry

from runtime.health import Health
from services.llmproxy import ledger as module
from services.llmproxy.budget import Budgets
from services.llmproxy.ledger import COMPONENT, Ledger, Pace
from services.llmproxy.usage import Record, Tokens
from services.llmproxy.usage_file import UsageFile, UsageFileError

RECORD = Record(1.8e9, "key", "local", "local", "tiny", "ok", Tokens(1, 2), 0.1)


class Disk:
    """A disk that can be full."""

    def __init__(self, folder):
        self.folder = folder
        self.full = False
        self.opened = 0

    def open(self):
        self.opened += 1
        if self.full:
            raise UsageFileError("usage.sqlite: database or disk is full")
        disk = self

        class File(UsageFile):
            def write(self, records):
                if disk.full:
                    raise UsageFileError("usage.sqlite: database or disk is full")
                super().write(records)

        return File(self.folder, 31)


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


@pytest.fixture
def health():
    return Health("a.Service")


@pytest.fixture
def metrics():
    return CollectorRegistry()


@pytest.fixture
async def ledger(disk, health, metrics):
    ledger = Ledger(disk.open, Budgets(), health, metrics, Pace(0.01, 0.01))
    yield ledger
    await ledger.close()


def written(disk):
    file = UsageFile(disk.folder, 31)
    try:
        return len(file.latest(100_000))
    finally:
        file.close()


async def test_records_reach_the_disk_by_themselves(ledger, disk, until):
    await ledger.start()
    ledger.record(RECORD)
    await until(lambda: written(disk) == 1)
    ledger.record(RECORD)
    await until(lambda: written(disk) == 2)


async def test_a_question_has_everything_recorded_so_far_in_its_answer(ledger):
    await ledger.start()
    for _ in range(3):
        ledger.record(RECORD)
    assert len(await ledger.ask(lambda file: file.latest(10))) == 3


async def test_what_waits_is_written_at_the_end(disk, health, metrics):
    ledger = Ledger(disk.open, Budgets(), health, metrics, Pace(write_seconds=60.0))
    await ledger.start()
    ledger.record(RECORD)
    await ledger.close()
    assert written(disk) == 1


async def test_a_full_disk_is_told_and_nothing_is_lost_or_written_twice(ledger, disk, health, metrics, until):
    await ledger.start()
    assert health.serving(COMPONENT)
    disk.full = True
    ledger.record(RECORD)
    await until(lambda: not health.serving(COMPONENT))
    (component,) = (one for one in health.report() if one.name == COMPONENT)
    assert component.last_error == "usage cannot be written: usage.sqlite: database or disk is full"
    assert not component.required
    with pytest.raises(UsageFileError, match="full"):
        await ledger.ask(lambda file: file.latest(1))
    ledger.record(RECORD)
    await until(lambda: disk.opened > 3)
    assert metrics.get_sample_value("pulsegate_llmproxy_usage_write_failures_total") > 2
    disk.full = False
    await until(lambda: health.serving(COMPONENT))
    await until(lambda: written(disk) == 2)
    assert metrics.get_sample_value("pulsegate_llmproxy_usage_lost_records_total") == 0


async def test_a_disk_that_is_full_from_the_start_stops_nothing(ledger, disk, health, until):
    disk.full = True
    assert await ledger.start() == ()
    assert not health.serving(COMPONENT)
    ledger.record(RECORD)
    disk.full = False
    await until(lambda: written(disk) == 1)


async def test_the_oldest_records_are_given_up_when_too_many_wait(ledger, metrics):
    for _ in range(module.MOST_WAITING + 5):
        ledger.record(RECORD)
    assert metrics.get_sample_value("pulsegate_llmproxy_usage_lost_records_total") == 5
    assert len(await ledger.ask(lambda file: file.latest(20_000))) == module.MOST_WAITING


async def test_the_last_hour_is_known_after_a_restart(ledger, disk, health):
    await ledger.start()
    await ledger.ask(lambda file: file.write([RECORD]))  # in the future, so it is never older than an hour
    again = Ledger(disk.open, Budgets(), health, CollectorRegistry())
    assert await again.start() == [RECORD]
    await again.close()


async def test_what_was_spent_before_a_restart_and_by_others_with_the_same_file_counts(disk, health, until):
    today = replace(RECORD, ended_at=time())
    budgets = [Budgets(per_day=10), Budgets(per_day=10)]
    ledgers = [Ledger(disk.open, one, health, CollectorRegistry(), Pace(0.01)) for one in budgets]
    for one in ledgers:
        await one.start()
        one.record(today)
    assert ledgers[0].store_id == ledgers[1].store_id
    for one, known in zip(ledgers, budgets, strict=True):
        await until(lambda: written(disk) == 2)
        await one.ask(lambda file: file.id)
        assert known.spent(time()) == {"key": (6, 6)}
        await one.close()
    again = Ledger(disk.open, later := Budgets(per_day=10), health, CollectorRegistry())
    await again.start()
    assert later.spent(time()) == {"key": (6, 6)}
    await again.close()
