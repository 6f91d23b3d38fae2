"""What the page on observability names is what the code tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/observability.md").read_text()
SOURCE = "\n".join(
    path.read_text()
    for folder in ("libs", "services")
    for path in ROOT.glob(f"{folder}/*/src/hive_*/**/*.py")
)
METRICS = sorted(set(re.findall(r"\bhive_[a-z_]+", PAGE)))
ATTRIBUTES = sorted(set(re.findall(r"`((?:gen_ai|hive|http|db|url|server|error)\.[a-z_.]+)`", PAGE)))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_one(metric: str) -> None:
    names = {metric, re.sub(r"_(total|bucket)$", "", metric)}
    assert any(f'"{name}"' in SOURCE for name in names)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_is_said(attribute: str) -> None:
    assert f'"{attribute}"' in SOURCE


def test_the_alerts_are_rules_over_what_there_is() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (group,) = yaml.safe_load(block)["groups"]
    for rule in group["rules"]:
        named = re.findall(r"\bhive_[a-z_]+", rule["expr"])
        assert rule["alert"] and named
        assert rule["expr"].count("(") == rule["expr"].count(")")
