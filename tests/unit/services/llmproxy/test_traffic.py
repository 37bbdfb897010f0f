from prometheus_client import CollectorRegistry

from services.llmproxy.traffic import MOST_MODELS, Latencies, Traffic
from services.llmproxy.usage import Record, Tokens


class Kept(list):
    """A ledger that only remembers."""

    record = list.append


def record(provider="p", outcome="ok", seconds=0.1, tokens=None, model="m", client="k"):
    return Record(1.8e9, client, provider, model, model, outcome, tokens or Tokens(), seconds)


def test_nothing_happened_reads_as_zero():
    traffic = Traffic(CollectorRegistry(), Kept())
    assert (traffic.total, traffic.succeeded, traffic.failed, traffic.latencies()) == (0, 0, 0, Latencies())


def test_requests_are_counted_by_their_end_and_while_they_run():
    registry = CollectorRegistry()
    traffic = Traffic(registry, Kept())
    for _ in range(3):
        traffic.began()
    traffic.ended(record("a"))
    traffic.ended(record("a", "torn", 0.3))
    assert (traffic.total, traffic.succeeded, traffic.failed) == (3, 1, 1)
    assert registry.get_sample_value("pulsegate_llmproxy_requests_running") == 1
    torn = {"provider": "a", "outcome": "torn"}
    assert registry.get_sample_value("pulsegate_llmproxy_requests_total", torn) == 1


def test_tokens_are_counted_by_provider_model_and_client():
    registry = CollectorRegistry()
    traffic = Traffic(registry, Kept())
    for _ in range(2):
        traffic.ended(record("a", tokens=Tokens(3, 0, 2, 1)))
    for metric, labels in (
        ("pulsegate_llmproxy_tokens_total", {"provider": "a"}),
        ("pulsegate_llmproxy_model_tokens_total", {"provider": "a", "model": "m"}),
        ("pulsegate_llmproxy_client_tokens_total", {"client": "k"}),
    ):
        kinds = ("input", "output", "cache_read_input", "cache_creation_input")
        counted = [registry.get_sample_value(metric, {**labels, "kind": kind}) for kind in kinds]
        assert counted == [6, None, 4, 2]


def test_models_that_clients_make_up_do_not_become_labels_for_ever():
    registry = CollectorRegistry()
    traffic = Traffic(registry, Kept())
    for number in range(MOST_MODELS + 5):
        traffic.ended(record(model=f"m{number}", tokens=Tokens(input=1)))
    other = {"provider": "p", "model": "other", "kind": "input"}
    assert registry.get_sample_value("pulsegate_llmproxy_model_tokens_total", other) == 5


def test_whatever_ended_is_handed_to_the_ledger_and_to_its_minute():
    traffic = Traffic(CollectorRegistry(), Kept())
    traffic.ended(record("a"))
    assert traffic.ledger == [record("a")]
    assert [minute.requests for minute in traffic.minutes.all()] == [1]


def test_latencies_are_those_of_the_latest_requests():
    traffic = Traffic(CollectorRegistry(), Kept())
    for number in range(2000):
        traffic.began()
        traffic.ended(record(seconds=number / 1000))
    latencies = traffic.latencies()
    assert round(latencies.average_ms, 1) == 1487.5
    assert (round(latencies.p50_ms), round(latencies.p95_ms), round(latencies.p99_ms)) == (1488, 1948, 1989)


def test_who_observes_hears_of_every_beginning_and_end():
    traffic, heard = Traffic(CollectorRegistry(), Kept()), []
    traffic.on_change(lambda: heard.append(traffic.total - traffic.succeeded))
    traffic.began()
    traffic.ended(record())
    assert heard == [1, 0]
