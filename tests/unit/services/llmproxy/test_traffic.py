from prometheus_client import CollectorRegistry

from services.llmproxy.traffic import Latencies, Traffic


def test_nothing_happened_reads_as_zero():
    traffic = Traffic(CollectorRegistry())
    assert (traffic.total, traffic.succeeded, traffic.failed, traffic.latencies()) == (0, 0, 0, Latencies())


def test_requests_are_counted_by_their_end_and_while_they_run():
    registry = CollectorRegistry()
    traffic = Traffic(registry)
    for _ in range(3):
        traffic.began()
    traffic.ended("a", "ok", 0.1)
    traffic.ended("a", "torn", 0.3)
    assert (traffic.total, traffic.succeeded, traffic.failed) == (3, 1, 1)
    assert registry.get_sample_value("pulsegate_llmproxy_requests_running") == 1
    torn = {"provider": "a", "outcome": "torn"}
    assert registry.get_sample_value("pulsegate_llmproxy_requests_total", torn) == 1


def test_tokens_are_counted_by_provider_and_kind():
    registry = CollectorRegistry()
    traffic = Traffic(registry)
    for _ in range(2):
        traffic.spent("a", {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": -1})
    counted = {
        kind: registry.get_sample_value("pulsegate_llmproxy_tokens_total", {"provider": "a", "kind": kind})
        for kind in ("input", "output", "cache_read_input")
    }
    assert counted == {"input": 6, "output": 0, "cache_read_input": 4}


def test_latencies_are_those_of_the_latest_requests():
    traffic = Traffic(CollectorRegistry())
    for number in range(2000):
        traffic.began()
        traffic.ended("a", "ok", number / 1000)
    latencies = traffic.latencies()
    assert round(latencies.average_ms, 1) == 1487.5
    assert (round(latencies.p50_ms), round(latencies.p95_ms), round(latencies.p99_ms)) == (1488, 1948, 1989)


def test_who_observes_hears_of_every_beginning_and_end():
    traffic, heard = Traffic(CollectorRegistry()), []
    traffic.on_change(lambda: heard.append(traffic.total - traffic.succeeded))
    traffic.began()
    traffic.ended("p", "ok", 0.1)
    assert heard == [1, 0]
