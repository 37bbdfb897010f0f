import io

from rich.console import Console

from commands import table
from commands.watch import Changes

NOW = "2026-01-02T03:05:05.000Z"
MINUTE_AGO = "2026-01-02T03:04:05.000Z"


def name(name="", status="SERVING", error=""):
    return {"name": name, "status": status, "since": MINUTE_AGO, "lastError": error, "history": []}


def replica(address="127.0.0.1:1", state="serving", health=(), error=""):
    reachable = state != "unreachable"
    return {
        "address": address,
        "reachable": reachable,
        "state": state,
        "since": MINUTE_AGO,
        "lastError": error,
        "checkMs": 1.25,
        "version": "1.2" if reachable else None,
        "pid": 7 if reachable else None,
        "startedAt": MINUTE_AGO if reachable else None,
        "facts": {"sessions": "2 now"} if reachable else {},
        "history": [],
        "health": list(health),
    }


def backend(*replicas, state="serving", reason="", failed=0):
    return {
        "name": "thing",
        "state": state,
        "since": MINUTE_AGO,
        "reason": reason,
        "requests": {"total": 5, "failed": failed},
        "replicas": list(replicas),
    }


def document(*backends):
    return {"time": NOW, "backends": list(backends)}


def test_one_replica_that_serves_is_one_line_below_the_titles():
    titles, line = table.plain_lines(document(backend(replica(health=[name()]))), everything=False)
    assert titles.split() == list(table.COLUMNS)
    clock = line.split()[4]
    assert line.split() == f"thing serving 1min 0s {clock} 1.2 1min 0s 1.2 ms 5 sessions 2 now".split()
    assert line.index("sessions") == titles.index("NOTES")


def test_an_unreachable_backend_says_why_and_nothing_it_cannot_know():
    lost = replica(state="unreachable", health=[name(status="UNKNOWN")], error="refused")
    (line,) = table.rows(document(backend(lost, state="unreachable", reason="refused", failed=2)), everything=False)
    assert (line.state, line.cells[2:]) == ("unreachable", ("", "", "", "5 (2 failed)", "refused"))


def test_a_part_that_is_missing_is_listed_below_a_backend_that_serves_without_it():
    missing = name("thing.part", "NOT_SERVING", "gone")
    found = table.rows(
        document(backend(replica(health=[name(), missing]), reason="thing.part: gone")), everything=False
    )
    assert [(row.depth, row.name, row.state) for row in found] == [
        (0, "thing", "serving"),
        (2, "thing.part", "not_serving"),
    ]


def test_a_lost_replica_among_several_is_listed_and_the_others_are_counted():
    lost = replica("127.0.0.2:1", "unreachable", error="refused")
    whole, part = table.rows(document(backend(replica(), lost)), everything=False)
    assert whole.cells[-1] == "replicas serving 1 of 2"
    assert (part.name, part.cells[-1]) == ("127.0.0.2:1", "refused")


def test_everything_means_every_replica_and_name():
    healthy = replica(health=[name(), name("liveness", error="earlier")])
    found = list(table.rows(document(backend(healthy)), everything=True))
    assert [row.name for row in found] == ["thing", "127.0.0.1:1", '""', "liveness"]
    assert found[-1].cells[-1] == "last error: earlier"


def test_all_serving_means_each_backend():
    assert table.all_serving(document(backend(replica())))
    assert not table.all_serving(document(backend(replica()), backend(replica(), state="unknown")))


def test_a_terminal_gets_the_same_words_in_colour():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    console.print(table.rich_table(document(backend(replica(), state="not_serving", reason="gone")), everything=False))
    said = console.file.getvalue()
    assert "✕ not serving" in said
    assert "gone" in said
    assert "\x1b[1;31m" in said


def test_a_time_is_told_as_a_person_says_it():
    told = [table.lasting(start, "2026-01-09T00:00:00Z") for start in ("2026-01-08T23:59:50Z", "2026-01-08T23:00:00Z")]
    assert told == ["10s", "1h 0min"]
    assert table.lasting("2026-01-07T22:00:00Z", "2026-01-09T00:00:00Z") == "1d 2h"
    assert table.lasting("2026-01-09T00:00:05Z", "2026-01-09T00:00:00Z") == "0s"


def test_only_what_changed_is_told_again():
    changes = Changes()
    serving, lost = (
        backend(replica(health=[name()])),
        backend(replica(state="unreachable"), state="unreachable", reason="cut"),
    )
    told = [list(changes.of(document(one))) for one in (serving, serving, lost, serving)]
    assert told == [[f"{NOW}  thing serving"], [], [f"{NOW}  thing unreachable: cut"], [f"{NOW}  thing serving"]]


def test_a_part_lost_inside_a_serving_backend_is_told():
    changes = Changes()
    list(changes.of(document(backend(replica(health=[name("thing.part")])))))
    told = list(changes.of(document(backend(replica(health=[name("thing.part", "NOT_SERVING", "gone")])))))
    assert told == [f"{NOW}  thing 127.0.0.1:1 thing.part not serving: gone"]
