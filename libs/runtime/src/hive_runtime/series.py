"""Tallies and histograms that cost a request well under a microsecond, by labels that stay bounded.

Where `prometheus_client` locks and looks labels up, these count in a dictionary, on the event loop alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds for requests, which take from milliseconds to minutes."""
SHORT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds for calls and events between services."""
MOST_SERIES = 5_000
"""Of one family; what comes beyond is counted together."""
OTHER = "other"

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter. labels: one value for each of the names, always as a tuple."""

    def __init__(self, name: str, help: str, names: Sequence[str]) -> None:
        self._name = name
        self._help = help
        self._names = tuple(names)
        self._counts: dict[Labels, int] = {}

    def add(self, labels: Labels, count: int = 1) -> None:
        try:
            self._counts[labels] += count
        except KeyError:
            labels = _bounded(labels, self._counts)
            self._counts[labels] = self._counts.get(labels, 0) + count

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._names)
        for labels, count in [*self._counts.items()]:
            family.add_metric(labels, count)
        yield family


class Histogram(Collector):
    """How long something took. bounds: ascending, in seconds; one for all that is longer is added."""

    def __init__(self, name: str, help: str, names: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._help = help
        self._names = tuple(names)
        self._bounds = tuple(bounds)
        self._shown = [*map(floatToGoString, self._bounds), "+Inf"]
        self._series: dict[Labels, _Series] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        series = self._series.get(labels) or self._added(labels)
        series.counts[bisect_left(self._bounds, seconds)] += 1
        series.sum += seconds

    def observe_all(self, labels: Labels, seconds: Sequence[float]) -> None:
        """The same for each of them, at a cost that hardly depends on how many they are."""
        series = self._series.get(labels) or self._added(labels)
        ascending, before = sorted(seconds), 0
        for place, bound in enumerate(self._bounds):
            within = bisect_right(ascending, bound)
            series.counts[place] += within - before
            before = within
        series.counts[-1] += len(ascending) - before
        series.sum += sum(seconds)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._names)
        for labels, series in [*self._series.items()]:
            family.add_metric(labels, self._buckets(series.counts), series.sum)
        yield family

    def _added(self, labels: Labels) -> _Series:
        labels = _bounded(labels, self._series)
        return self._series.setdefault(labels, _Series(len(self._shown)))

    def _buckets(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        """Each with all that are shorter."""
        total, found = 0, []
        for bound, count in zip(self._shown, counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Readings(Collector):
    """A figure that is asked for when somebody looks: a gauge, or a counter where it only grows."""

    def __init__(
        self,
        name: str,
        help: str,
        names: Sequence[str],
        read: Callable[[], Iterable[tuple[Labels, float]]],
        *,
        grows: bool,
    ) -> None:
        self._name = name
        self._help = help
        self._names = tuple(names)
        self._read = read
        self._kind = CounterMetricFamily if grows else GaugeMetricFamily

    def collect(self) -> Iterable[Metric]:
        family = self._kind(self._name, self._help, labels=self._names)
        for labels, value in self._read():
            family.add_metric(labels, value)
        yield family


class _Series:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


def _bounded(labels: Labels, known: dict[Labels, int] | dict[Labels, _Series]) -> Labels:
    return labels if len(known) < MOST_SERIES else (OTHER,) * len(labels)
