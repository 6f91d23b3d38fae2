"""Tallies, histograms and readings as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hive_runtime import series
from hive_runtime.telemetry import TOGETHER, Handled, Metrics, Requests


def samples(metrics: Metrics, *names: str) -> dict[str, float]:
    """The samples of these families, by name and labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            if family.name in names:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_requests_are_counted_by_code_and_timed_by_method() -> None:
    metrics = Metrics()
    requests = Requests(metrics, "edge")
    requests.note("/models", "200", 0.004)
    requests.note("/models", "200", 0.3)
    requests.note("/models", "503", 1000.0)
    found = samples(metrics, "hive_requests", "hive_request_seconds")
    assert found["hive_requests_total{code=200,method=/models,service=edge}"] == 2
    assert found["hive_requests_total{code=503,method=/models,service=edge}"] == 1
    bucket = "hive_request_seconds_bucket{{le={},method=/models,service=edge}}"
    assert [found[bucket.format(bound)] for bound in ("0.005", "0.25", "0.5", "300.0", "+Inf")] == [
        1,
        1,
        2,
        2,
        3,
    ]
    assert found["hive_request_seconds_count{method=/models,service=edge}"] == 3
    assert found["hive_request_seconds_sum{method=/models,service=edge}"] == 1000.304


def test_a_duration_on_a_bound_is_within_it() -> None:
    metrics = Metrics()
    metrics.histogram("took", "Seconds.", ("of",), (1.0, 2.0)).observe(("x",), 1.0)
    found = samples(metrics, "took")
    assert found["took_bucket{le=1.0,of=x}"] == 1


def test_many_at_once_count_as_they_would_one_by_one() -> None:
    metrics, durations = Metrics(), [1.0, 0.25, 2.0, 7.5, 1.0, 1.5, 0.0, 2.5]
    alone = metrics.histogram("alone", "Seconds.", ("of",), (0.5, 1.0, 2.0))
    for seconds in durations:
        alone.observe(("x",), seconds)
    together = metrics.histogram("together", "Seconds.", ("of",), (0.5, 1.0, 2.0))
    together.observe_all(("x",), durations[:5])
    together.observe_all(("x",), durations[5:])
    found = samples(metrics, "alone", "together")
    of_alone = {name: value for name, value in found.items() if name.startswith("alone")}
    assert of_alone["alone_bucket{le=1.0,of=x}"] == 4
    assert {name.replace("alone", "together"): value for name, value in of_alone.items()} == {
        name: value for name, value in found.items() if name.startswith("together")
    }


def test_nothing_is_counted_twice_or_not_at_all_however_many_come() -> None:
    metrics = Metrics()
    requests, handled = Requests(metrics, "edge"), Handled(metrics)
    for number in range(3 * TOGETHER + 5):
        requests.note("/models", "200" if number % 3 else "503", 0.1)
        handled.handled("hive.usage", "billing", 2, 0.1)
        if number == TOGETHER:
            metrics.page()
    found = samples(metrics, "hive_requests", "hive_request_seconds", "hive_records", "hive_record_seconds")
    by_code = [
        found[f"hive_requests_total{{code={code},method=/models,service=edge}}"] for code in (200, 503)
    ]
    assert by_code == [2 * TOGETHER + 3, TOGETHER + 2]
    assert found["hive_request_seconds_count{method=/models,service=edge}"] == 3 * TOGETHER + 5
    assert found["hive_records_total{group=billing,outcome=handled,topic=hive.usage}"] == 6 * TOGETHER + 10
    assert found["hive_record_seconds_count{group=billing,topic=hive.usage}"] == 3 * TOGETHER + 5


def test_services_of_one_process_share_families() -> None:
    metrics = Metrics()
    Requests(metrics, "edge").note("a", "200", 0.1)
    Requests(metrics, "routing").note("a", "200", 0.1)
    found = samples(metrics, "hive_requests")
    assert found == {
        "hive_requests_total{code=200,method=a,service=edge}": 1,
        "hive_requests_total{code=200,method=a,service=routing}": 1,
    }


def test_labels_stay_bounded_and_nothing_goes_uncounted() -> None:
    metrics = Metrics()
    tally = metrics.tally("seen", "Of all kinds.", ("name",))
    histogram = metrics.histogram("took", "Seconds.", ("name",), (1.0,))
    for number in range(series.MOST_SERIES + 100):
        tally.add((str(number),))
        histogram.observe((str(number),), 0.5)
    found = samples(metrics, "seen", "took")
    assert found["seen_total{name=other}"] == found["took_count{name=other}"] == 100
    assert len([name for name in found if name.startswith("seen_total")]) == series.MOST_SERIES + 1


def test_records_are_counted_one_by_one_and_timed_by_call() -> None:
    metrics = Metrics()
    handled = Handled(metrics)
    handled.handled("hive.usage", "billing", 50, 0.002)
    handled.failed("hive.usage", "billing", 50)
    found = samples(metrics, "hive_records", "hive_record_seconds")
    assert found["hive_records_total{group=billing,outcome=handled,topic=hive.usage}"] == 50
    assert found["hive_records_total{group=billing,outcome=failed,topic=hive.usage}"] == 50
    assert found["hive_record_seconds_count{group=billing,topic=hive.usage}"] == 1


def test_readings_are_asked_for_when_the_page_is() -> None:
    metrics, lags = Metrics(), {("hive.usage", "billing"): 3.0}
    metrics.readings("lag", "Records.", ("topic", "group"), lambda: lags.items())
    metrics.readings("given_up", "Records.", ("topic", "group"), lambda: lags.items(), grows=True)
    lags["hive.usage", "billing"] = 5.0
    found = samples(metrics, "lag", "given_up")
    assert found["lag{group=billing,topic=hive.usage}"] == 5
    assert found["given_up_total{group=billing,topic=hive.usage}"] == 5
