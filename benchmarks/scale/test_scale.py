"""What is made of measured points: how they grow, and the run that they are of."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from benchmarks.processes import Gateway
from benchmarks.scale import rig
from benchmarks.scale.__main__ import collected
from benchmarks.scale.fits import fit, number


def test_a_line_is_found_and_told_with_its_constant() -> None:
    found = fit([(x, 5 + 0.02 * x) for x in (1, 10, 100, 1000, 10_000)])
    assert (found.constant, found.each) == pytest.approx((5, 0.02))
    assert found.words("ms", "keys") == "5.00 ms, and 0.0200 ms for each of the keys"


def test_a_power_is_found_where_no_line_fits() -> None:
    found = fit([(x, 3 * x**0.5) for x in (1, 10, 100, 1000, 10_000)])
    assert found.exponent == pytest.approx(0.5)
    assert found.words("ms", "keys") == "grows as keys to the power of 0.50"


@pytest.mark.parametrize("values", [(1.0, 1.1, 0.9, 1.05), (4.0, 3.0, 2.0, 1.0)], ids=["noise", "less"])
def test_noise_is_no_growth_and_less_is_none_either(values: tuple[float, ...]) -> None:
    points = list(zip((1.0, 10.0, 100.0, 1000.0), values, strict=True))
    assert fit(points).words("ms", "keys") == "does not grow with keys"


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (12345.6, "12,346")], ids=str
)
def test_numbers_have_three_digits_that_count(value: float, words: str) -> None:
    assert number(value) == words


def test_a_run_is_read_from_the_files_of_its_points_in_their_order(tmp_path: Path) -> None:
    for x, others in ((10, 0.5), (2, 0.1)):
        point = {
            "curve": "keys",
            "x": x,
            "figures": {"cpu_ms": x / 10},
            "machine": {"others": others, "a": 1},
        }
        (tmp_path / f"keys-{x:06}.json").write_text(json.dumps(point))
    found = collected(tmp_path)
    assert list(found["curves"]["keys"].items()) == [("2", {"cpu_ms": 0.2}), ("10", {"cpu_ms": 1.0})]
    assert (found["machine"], found["others"]) == ({"a": 1}, 0.5)


def test_callers_are_copies_of_the_ones_that_are_there(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, upstream_port=1)
    (tmp_path / "data").mkdir()
    database = sqlite3.connect(tmp_path / "data" / "console.db")
    database.execute("CREATE TABLE tenants (id, billing)")
    database.execute("CREATE TABLE api_keys (id, tenant_id, sha256, last_four, caps)")
    database.execute("INSERT INTO tenants VALUES ('default', 'prepaid')")
    database.execute("INSERT INTO api_keys VALUES ('key_1', 'default', x'00', 'only', '{}')")
    database.commit()
    secrets = rig.add_callers(gateway, tenants=2, keys=3)
    assert len(set(secrets)) == 3
    assert database.execute("SELECT id, billing FROM tenants ORDER BY id").fetchall() == [
        ("default", "prepaid"),
        ("scale000000", "prepaid"),
        ("scale000001", "prepaid"),
    ]
    found = database.execute("SELECT tenant_id, caps FROM api_keys WHERE id LIKE 'key_scale%' ORDER BY id")
    assert found.fetchall() == [("scale000000", "{}"), ("scale000001", "{}"), ("scale000000", "{}")]
    assert database.execute("SELECT count(DISTINCT sha256) FROM api_keys").fetchone() == (4,)
    database.close()
