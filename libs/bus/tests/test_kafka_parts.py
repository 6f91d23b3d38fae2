"""Parts of the Kafka bus that need no broker: its URL, who gets which partitions, what may be committed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_bus.kafka import BadAddress
from hive_bus.kafka.address import address_of
from hive_bus.kafka.assignor import shares
from hive_bus.kafka.share import Partition


def test_a_url_names_brokers_and_options() -> None:
    address = address_of("kafka://one:1, two,[::1]:9093?session_ms=2000&max_poll_ms=5000")
    assert address.servers == ("one:1", "two:9092", "[::1]:9093")
    assert (address.session_ms, address.max_poll_ms) == (2_000, 5_000)
    found = address.connection("me")
    assert (found["security_protocol"], found["client_id"]) == ("PLAINTEXT", "me")
    assert "sasl_mechanism" not in found


def test_a_url_with_a_login_and_tls() -> None:
    address = address_of("kafka+ssl://us%40er:pa%2Fss@broker:9093?mechanism=SCRAM-SHA-512")
    found = address.connection("me")
    assert (found["security_protocol"], found["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("us@er", "pa/ss")
    assert found["ssl_context"].check_hostname
    assert "pa/ss" not in address.words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://host", "amqp:// is no broker"),
        ("kafka://", "names no host"),
        ("kafka://host:port", "'host:port' is no host:port"),
        ("kafka://host?session_ms=5", "session_ms=5 in the broker's URL must be between 1000 and"),
        ("kafka://host?session_ms=x", "session_ms=x"),
        ("kafka://host?sesion_ms=6000", "sesion_ms=6000 in the broker's URL is unknown"),
        ("kafka+ssl://u:p@host?mechanism=MD5", "mechanism=MD5"),
    ],
)
def test_a_url_that_is_wrong_is_said(url: str, words: str) -> None:
    with pytest.raises(BadAddress) as caught:
        address_of(url)
    assert words in str(caught.value)


def test_certificates_that_cannot_be_read_are_said() -> None:
    with pytest.raises(BadAddress, match="certificates"):
        address_of("kafka+ssl://host?ca=/no/such/file").connection("me")


OWNED = st.dictionaries(
    st.sampled_from("abcde"), st.lists(st.integers(0, 15), max_size=16), min_size=1, max_size=5
)


@given(partitions=st.integers(0, 14), owned_by=OWNED)
def test_shares_are_whole_and_even(partitions: int, owned_by: dict[str, list[int]]) -> None:
    found = shares(range(partitions), owned_by)
    assert found.keys() == owned_by.keys()
    assert sorted(number for share in found.values() for number in share) == list(range(partitions))
    sizes = [len(share) for share in found.values()]
    assert max(sizes) - min(sizes) <= 1


@given(members=st.integers(1, 6), partitions=st.integers(1, 14))
def test_no_more_moves_than_must(members: int, partitions: int) -> None:
    before = shares(range(partitions), {str(number): [] for number in range(members)})
    assert shares(range(partitions), before) == before
    joined = shares(range(partitions), {**before, "new": []})
    moved = sum(len({*before[name]} - {*joined[name]}) for name in before)
    assert moved == len(joined["new"])
    left = {name: before[name] for name in list(before)[1:]}
    for name, share in (shares(range(partitions), left) if left else {}).items():
        assert {*share} >= {*before[name]}


def test_what_is_worked_on_moves_last() -> None:
    found = shares(range(4), {"busy": [3, 1, 0, 2], "new": []})
    assert found == {"busy": [3, 1], "new": [0, 2]}


@given(offsets=st.lists(st.integers(0, 50), unique=True).map(sorted), data=st.data())
def test_only_what_has_no_gap_before_it_is_committed(offsets: list[int], data: st.DataObject) -> None:
    partition = Partition("place", 0, None)
    for offset in offsets:
        partition.fetched(offset, 10)
    left = {*offsets}
    for offset in data.draw(st.permutations(offsets)):
        partition.finished(offset, 10)
        left.discard(offset)
        assert partition.base == (min(left) if left else partition.next)
        assert partition.unfinished == len(left)
    assert (partition.bytes, partition.span) == (0, 0)
