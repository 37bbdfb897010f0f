"""The SQLite file of all records; every function blocks, so none belongs on a loop."""

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from services.llmproxy.usage import Dimension, Record, Sums, Tokens, Window, day_of, days_before

FILE_NAME = "usage.sqlite"
IN_MEMORY = ":memory:"
BUSY_SECONDS = 5.0
"""How long a write waits for another process that has the same file."""
SUM_DAYS = 400
"""Sums of a day are kept this long: they are small, and people compare with last year."""
MOST_RECORDS = 1_000_000

# One entry per version of the schema, each of which goes on from the one before.
MIGRATIONS = (
    """
    CREATE TABLE about (id TEXT NOT NULL) STRICT;
    CREATE TABLE requests (
      id INTEGER PRIMARY KEY, ended_at REAL NOT NULL, client TEXT NOT NULL, provider TEXT NOT NULL,
      asked_model TEXT NOT NULL, model TEXT NOT NULL, outcome TEXT NOT NULL, input INTEGER NOT NULL,
      output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, seconds REAL NOT NULL,
      first_byte_seconds REAL, retries INTEGER NOT NULL, fallbacks INTEGER NOT NULL, estimated INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX requests_by_end ON requests (ended_at);
    CREATE TABLE days (
      day TEXT NOT NULL, client TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, outcome TEXT NOT NULL,
      requests INTEGER NOT NULL, failed INTEGER NOT NULL, estimated INTEGER NOT NULL, input INTEGER NOT NULL,
      output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, retries INTEGER NOT NULL,
      fallbacks INTEGER NOT NULL, answered INTEGER NOT NULL, first_byte_ms REAL NOT NULL, total_ms REAL NOT NULL,
      PRIMARY KEY (day, client, provider, model, outcome)
    ) STRICT, WITHOUT ROWID;
    """,
)
VERSION = len(MIGRATIONS)
COUNTED = tuple(Sums.__slots__)
_SUMMED = ", ".join(f"sum({name})" for name in COUNTED)
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTED)
_ADD_TO_DAY = (
    f"INSERT INTO days VALUES ({', '.join('?' * (5 + len(COUNTED)))}) "  # noqa: S608  names of ours
    f"ON CONFLICT (day, client, provider, model, outcome) DO UPDATE SET {_ADDED}"
)
_ADD_REQUEST = f"INSERT INTO requests VALUES (NULL, {', '.join('?' * 15)})"  # noqa: S608  names of ours


class UsageFileError(Exception):
    """The file cannot be used; the message says why in one line."""


class UsageFile:
    """One open file, used by one thread at a time."""

    def __init__(self, folder: Path | None, keep_days: int) -> None:
        """Open the file, made if it is not there; without a folder everything is kept in memory only."""
        self._keep_days = keep_days
        self._path = folder / FILE_NAME if folder else None
        try:
            if folder and self._path:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._path.touch(mode=0o600)
            self._database = sqlite3.connect(
                self._path or IN_MEMORY, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self.id = self._prepare()
            except BaseException:
                self._database.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from None

    def write(self, records: Sequence[Record]) -> None:
        """Add records, all or none."""
        if self._path and not self._path.exists():  # else everything would go into a file that nobody finds
            raise UsageFileError(f"{self._path}: it was removed")
        try:
            with self._transaction():
                self._database.executemany(_ADD_REQUEST, map(_request_row, records))
                self._database.executemany(_ADD_TO_DAY, map(_day_row, records))
        except sqlite3.Error as error:
            raise self._error(error) from None

    def prune(self, now: float) -> None:
        """Forget what is older than it is kept."""
        try:
            with self._transaction():
                self._database.execute("DELETE FROM requests WHERE ended_at < ?", (now - self._keep_days * 86400,))
                self._database.execute(
                    "DELETE FROM requests WHERE id <= (SELECT max(id) FROM requests) - ?", (MOST_RECORDS,)
                )
                self._database.execute(
                    "DELETE FROM days WHERE day < ?", (days_before(now, max(SUM_DAYS, self._keep_days)),)
                )
        except sqlite3.Error as error:
            raise self._error(error) from None

    def sums(self, window: Window, by: Sequence[Dimension], limit: int) -> list[tuple[tuple[str, ...], Sums]]:
        """Sum a window up, one row for each combination of the dimensions; no dimension gives one row at most."""
        conditions = ["day BETWEEN ? AND ?", *(f"{name} = ?" for name in window.only)]
        values = (window.first_day, window.last_day, *window.only.values())
        columns = "".join(f"{name}, " for name in by)
        grouped = f"GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else "HAVING count(*) > 0"
        query = f"SELECT {columns}{_SUMMED} FROM days WHERE {' AND '.join(conditions)} {grouped} LIMIT ?"  # noqa: S608  names of ours
        return [(row[: len(by)], Sums(*row[len(by) :])) for row in self._read(query, (*values, limit))]

    def latest(self, limit: int) -> list[Record]:
        """Return the latest records, newest first."""
        return [_record(row) for row in self._read("SELECT * FROM requests ORDER BY id DESC LIMIT ?", (limit,))]

    def since(self, moment: float, limit: int) -> list[Record]:
        """Return the latest of the records since a moment, oldest first."""
        query = "SELECT * FROM requests WHERE ended_at >= ? ORDER BY ended_at DESC LIMIT ?"
        return [_record(row) for row in reversed(self._read(query, (moment, limit)))]

    def spent(self, now: float) -> dict[str, tuple[int, int]]:
        """Tell the tokens of every client today, and this month, in UTC."""
        today = day_of(now)
        tokens = "input + output + cache_read + cache_write"
        query = (
            f"SELECT client, sum(iif(day = ?, {tokens}, 0)), sum({tokens}) FROM days "  # noqa: S608  names of ours
            "WHERE day BETWEEN ? AND ? GROUP BY client"
        )
        return {client: (day, month) for client, day, month in self._read(query, (today, f"{today[:7]}-01", today))}

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> str:
        """Bring the schema up to date and return the file's own id."""
        database = self._database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a lost machine may cost the last second, never the file
        with self._transaction():
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise UsageFileError(f"{self._path}: written by a newer release (schema {version}, known {VERSION})")
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in script.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {number}")
            if version == 0:
                database.execute("INSERT INTO about VALUES (?)", (secrets.token_hex(8),))
            (own,) = database.execute("SELECT id FROM about").fetchone()
        return str(own)

    def _read(self, query: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.execute(query, tuple(values))) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from None

    def _error(self, error: OSError | sqlite3.Error) -> UsageFileError:
        return UsageFileError(f"{self._path}: {error.strerror if isinstance(error, OSError) else error}")

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database)


class _Transaction:
    """Takes the right to write at once, so that two processes with one file wait for each other in turn."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        if kind is None:
            try:
                self._database.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._database.in_transaction:  # a full disk may have ended it already
            self._database.execute("ROLLBACK")


def _request_row(record: Record) -> tuple[object, ...]:
    tokens = record.tokens
    return (
        *(record.ended_at, record.client, record.provider, record.asked_model, record.model, record.outcome),
        *(tokens.input, tokens.output, tokens.cache_read, tokens.cache_write),
        *(record.seconds, record.first_byte_seconds, record.retries, record.fallbacks, int(record.estimated)),
    )


def _day_row(record: Record) -> tuple[object, ...]:
    tokens, first = record.tokens, record.first_byte_seconds
    return (
        *(record.day, record.client, record.provider, record.model, record.outcome),
        *(1, int(record.outcome != "ok"), int(record.estimated)),
        *(tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, record.retries, record.fallbacks),
        *(int(first is not None), (first or 0.0) * 1000, record.seconds * 1000),
    )


def _record(row: Sequence[Any]) -> Record:
    ended_at, client, provider, asked, model, outcome = row[1:7]
    seconds, first, retries, fallbacks, estimated = row[11:]
    return Record(
        ended_at=ended_at,
        client=client,
        provider=provider,
        asked_model=asked,
        model=model,
        outcome=outcome,
        tokens=Tokens(*row[7:11]),
        seconds=seconds,
        first_byte_seconds=first,
        retries=retries,
        fallbacks=fallbacks,
        estimated=bool(estimated),
    )
