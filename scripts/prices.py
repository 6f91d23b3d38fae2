"""Makes the price list that billing carries, from genai-prices and a small supplement; or reads LiteLLM's prices.

Usage: python scripts/prices.py [--check]
       python scripts/prices.py --litellm FILE     a `models:` snippet for the configuration, on stdout

What the list says, and where it rounds up what it cannot say:
* The prices of the day `AS_OF`, at the vendor's usual service level: no batch, flex or priority prices.
* A price that depends on the time of day is the dearest of the day, for a hold is to carry it whenever it comes.
* Tokens of images and videos in an answer cost what `completion` does, so that is the dearest of them; in a prompt
  they cost what its text does. Cached sound costs what other cached tokens do.
* A fee per request stands as `search`: who charges one searches once per request.
* A price finer than a pico-dollar per unit is left out, and said on stderr: another unit stands in for it, else the
  model is left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from hive_runtime.money import STANDS_IN, UNITS

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "services" / "billing" / "src" / "hive_billing" / "listed_prices.json"
SUPPLEMENT = Path(__file__).with_name("prices_supplement.yaml")
AS_OF = date(2026, 11, 25)
PICOS = Decimal(10) ** 12
MILLION = 1_000_000

# Where each vendor is asked; `*` is any part of a host's name, and what follows the host is how the path begins.
HOSTS: Mapping[str, Sequence[str]] = {
    "anthropic": ["api.anthropic.com"],
    "arcee": ["api.arcee.ai"],
    "avian": ["api.avian.io"],
    "azure": [
        "*.openai.azure.com",
        "*.azure-api.net",
        "*.cognitiveservices.azure.com",
        "*.services.ai.azure.com",
    ],
    "baseten": ["inference.baseten.co"],
    "cerebras": ["api.cerebras.ai"],
    "cohere": ["api.cohere.ai", "api.cohere.com"],
    "deepseek": ["api.deepseek.com"],
    "fireworks": ["api.fireworks.ai"],
    "google": [
        "generativelanguage.googleapis.com",
        "aiplatform.googleapis.com",
        "*-aiplatform.googleapis.com",
    ],
    "groq": ["api.groq.com"],
    "minimax": ["api.minimax.io"],
    "mistral": ["api.mistral.ai"],
    "moonshotai": ["api.moonshot.ai"],
    "novita": ["api.novita.ai"],
    "openai": ["api.openai.com"],
    "openrouter": ["openrouter.ai", "api.openrouter.ai"],
    "ovhcloud": ["oai.endpoints.kepler.ai.cloud.ovh.net"],
    "perplexity": ["api.perplexity.ai"],
    "together": ["api.together.xyz", "api.together.ai"],
    "voyageai": ["api.voyageai.com"],
    "x-ai": ["api.x.ai"],
    "zai": ["api.z.ai"],
}
# What may stand before a model's name at a vendor and is no part of it.
BEFORE_NAMES: Mapping[str, Sequence[str]] = {"google": ["models/", "google/"]}
# Names of genai-prices that nobody can ask for: OpenRouter's have a slash, and no batch among them.
NO_NAMES: Mapping[str, re.Pattern[str]] = {"openrouter": re.compile(r"[^/]*|.*:batch")}

# What genai-prices calls it, our unit, and how many of them its price is for.
UNIT_OF: Mapping[str, tuple[str, int]] = {
    "input_mtok": ("prompt", MILLION),
    "output_mtok": ("completion", MILLION),
    "output_image_mtok": ("completion", MILLION),
    "output_video_mtok": ("completion", MILLION),
    "cache_read_mtok": ("cached_prompt", MILLION),
    "cache_write_mtok": ("cache_write_5m", MILLION),
    "cache_write_5m_mtok": ("cache_write_5m", MILLION),
    "cache_write_1h_mtok": ("cache_write_1h", MILLION),
    "output_reasoning_mtok": ("reasoning", MILLION),
    "input_audio_mtok": ("audio_in", MILLION),
    "output_audio_mtok": ("audio_out", MILLION),
    "input_mchars": ("character", MILLION),
    "audio_hours": ("second", 3600),
    "input_audio_hours": ("second", 3600),
    "input_document_kpages": ("page", 1000),
    "web_searches_kcount": ("search", 1000),
    "rerank_searches_kcount": ("search", 1000),
    "requests_kcount": ("search", 1000),
}
# No unit of ours counts these: see above, or they are tools that run at the vendor's and are no part of an answer.
UNCOUNTED = {
    "input_image_mtok",
    "input_video_mtok",
    "cache_audio_read_mtok",
    "cache_image_read_mtok",
    "output_citation_mtok",
    "input_annotated_document_kpages",
    "input_text_messages_kcount",
    "storage_searches_kcount",
    "social_searches_kcount",
}

Steps = Mapping[int, Decimal]
"""Dollars by the number of prompt tokens from which on they hold; from 0 on there is always one."""


class TooFine(ValueError):
    """A price that is no whole number of pico-dollars."""


def main(arguments: list[str]) -> int:
    if "--litellm" in arguments:
        text = Path(arguments[arguments.index("--litellm") + 1]).read_text()
        sys.stdout.write(snippet(from_litellm(text)))
        return 0
    made, notes = price_list()
    for note in notes:
        print(note, file=sys.stderr)
    if "--check" in arguments:
        if LIST.read_text() == made:
            return 0
        print(f"{LIST.relative_to(ROOT)} is not up to date: run scripts/prices.py", file=sys.stderr)
        return 1
    LIST.write_text(made)
    return 0


# The list


@dataclass(frozen=True, slots=True)
class Entry:
    """names: exact, or with `*` at an end that is open; `^` leads a regular expression."""

    names: Sequence[str]
    rates: Mapping[str, Sequence[int]]


def price_list() -> tuple[str, list[str]]:
    """The file's text, and what had to be left out. Needs the package genai-prices."""
    from genai_prices import __version__
    from genai_prices.data import providers

    notes: list[str] = []
    vendors: dict[str, dict[str, Any]] = {}
    supplement = yaml.safe_load(SUPPLEMENT.read_text())
    for vendor, hosts in HOSTS.items():
        provider = next(each for each in providers if each.id == vendor)
        entries = [*_supplemented(vendor, supplement), *_entries(provider, notes)]
        vendors[vendor] = {
            "hosts": list(hosts),
            "before": list(BEFORE_NAMES.get(vendor, ())),
            "others": [each for each in provider.fallback_model_providers or () if each in HOSTS],
            "models": [[list(entry.names), entry.rates] for entry in entries],
        }
    return _text(f"genai-prices {__version__}", vendors), notes


def _text(source: str, vendors: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with one model per line, so that changes can be read."""
    lines = [f'{{"as_of":"{AS_OF}","source":{_json(source)},"vendors":{{']
    for place, (vendor, found) in enumerate(vendors.items()):
        head = {name: found[name] for name in ("hosts", "before", "others")}
        lines.append(f'{"," if place else ""}{_json(vendor)}:{_json(head)[:-1]},"models":[')
        lines.append(",\n".join(_json(model) for model in found["models"]))
        lines.append("]}")
    return "\n".join([*lines, "}}"]) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _supplemented(vendor: str, supplement: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    for given in supplement:
        if given["vendor"] == vendor:
            rates = {unit: [picos(Decimal(text), 1)] for unit, text in given["price"].items()}
            yield Entry(given["models"], rates)


def _entries(provider: Any, notes: list[str]) -> Iterator[Entry]:
    nobody = NO_NAMES.get(provider.id)
    for model in provider.models:
        names = [name for name in names_of(model.match) if nobody is None or not nobody.fullmatch(name)]
        if not names:
            continue
        rates, refused = rates_of(prices_on(AS_OF, model.prices))
        notes += [f"{provider.id} {model.id}: {each}" for each in refused]
        if rates:
            yield Entry(names, rates)
        elif not names[0].endswith(":free"):
            notes.append(f"{provider.id} {model.id}: left out, for no unit that is counted has a price")


# From genai-prices


def names_of(match: Any) -> list[str]:
    """The names that a matching rule takes, as the list writes them; all in lower case."""
    clauses = match.or_ if type(match).__name__ == "ClauseOr" else [match]
    names = list(dict.fromkeys(_name_of(clause) for clause in clauses))
    beginnings = [name[:-1] for name in names if name.endswith("*") and not name.startswith(("*", "^"))]
    return [name for name in names if not _is_covered(name, beginnings)]


def _is_covered(name: str, beginnings: Iterable[str]) -> bool:
    return not name.startswith(("*", "^")) and any(
        name.startswith(each) and name != f"{each}*" for each in beginnings
    )


def _name_of(clause: Any) -> str:
    match type(clause).__name__:
        case "ClauseEquals":
            return str(clause.equals).lower()
        case "ClauseStartsWith":
            return f"{clause.starts_with}*".lower()
        case "ClauseEndsWith":
            return f"*{clause.ends_with}".lower()
        case "ClauseContains":
            return f"*{clause.contains}*".lower()
        case _:
            return f"^{_pattern_of(clause)}"


def _pattern_of(clause: Any) -> str:
    """A regular expression that finds from the beginning what the clause takes."""
    match type(clause).__name__:
        case "ClauseEquals":
            return f"(?={re.escape(clause.equals.lower())}$)"
        case "ClauseStartsWith":
            return f"(?={re.escape(clause.starts_with.lower())})"
        case "ClauseEndsWith":
            return f"(?=.*{re.escape(clause.ends_with.lower())}$)"
        case "ClauseContains":
            return f"(?=.*{re.escape(clause.contains.lower())})"
        case "ClauseRegex":
            return (
                f"(?=.*?(?:{clause.regex}))"
                if not clause.regex.startswith("^")
                else f"(?={clause.regex[1:]})"
            )
        case "ClauseAnd":
            return "".join(_pattern_of(each) for each in clause.and_)
        case "ClauseOr":
            return f"(?:{'|'.join(_pattern_of(each) for each in clause.or_)})"
        case unknown:
            raise TypeError(f"a rule of the kind {unknown} is not known here")


def prices_on(day: date, prices: Any) -> Mapping[str, Steps]:
    """Dollars per key of genai-prices; of prices by the time of day the dearest."""
    if not isinstance(prices, list):
        return _steps(prices)
    standing: Mapping[str, Steps] = _steps(prices[0].prices)
    hourly: list[Mapping[str, Steps]] = []
    for each in prices:
        start = getattr(each.constraint, "start_date", None)
        if hasattr(each.constraint, "start_time"):
            hourly.append(_steps(each.prices))
        elif start is None or start <= day:
            standing, hourly = _steps(each.prices), []
    found = dict(standing)
    for steps in hourly:
        for key, price in steps.items():
            found[key] = dearest(found[key], price) if key in found else price
    return found


def _steps(prices: Any) -> Mapping[str, Steps]:
    return {key: _steps_of(price) for key, price in vars(prices).items() if price is not None}


def _steps_of(price: Any) -> Steps:
    if isinstance(price, Decimal):
        return {0: price}
    # There a step holds above its start, here from it on.
    return {0: price.base, **{tier.start + 1: tier.price for tier in price.tiers}}


def rates_of(prices: Mapping[str, Steps]) -> tuple[dict[str, list[int]], list[str]]:
    """By unit: pico-dollars, then from how many prompt tokens on, then pico-dollars, and so on. What was refused."""
    exact: dict[str, Steps] = {}
    refused: dict[str, Decimal] = {}
    for key, steps in prices.items():
        if key in UNCOUNTED:
            continue
        unit, per = UNIT_OF[key]
        try:
            each = {start: Decimal(picos(dollars, per)) for start, dollars in steps.items()}
        except TooFine:
            refused[unit] = max(steps.values()) * PICOS / per
        else:
            exact[unit] = dearest(exact[unit], each) if unit in exact else each
    notes = [f"{unit} is finer than a pico-dollar" for unit in refused]
    for unit, price in refused.items():
        substitute = STANDS_IN.get(unit)
        if substitute not in exact or min(exact[substitute].values()) < price:
            return {}, notes  # what stands in would be too cheap
    return {unit: _flat(exact[unit]) for unit in UNITS if unit in exact}, notes


def _flat(steps: Steps) -> list[int]:
    flat = [int(steps[0])]
    for start in sorted(steps)[1:]:
        if int(steps[start]) != flat[-1]:
            flat += [start, int(steps[start])]
    return flat


def dearest(one: Steps, other: Steps) -> Steps:
    """At each step the higher of both."""
    starts = sorted({*one, *other})
    return {start: max(_at(one, start), _at(other, start)) for start in starts}


def _at(steps: Steps, prompt_tokens: int) -> Decimal:
    return steps[max(start for start in steps if start <= prompt_tokens)]


def picos(dollars: Decimal, per: int) -> int:
    """Pico-dollars per unit of dollars per `per` units; TooFine where that is no whole number."""
    scaled = dollars * PICOS
    if scaled % per:
        raise TooFine(f"{dollars} per {per} is finer than a pico-dollar")
    return int(scaled / per)


# From LiteLLM's model_prices_and_context_window.json

LITELLM: Mapping[str, str] = {
    "input_cost_per_token": "prompt",
    "cache_read_input_token_cost": "cached_prompt",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_token": "completion",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
    "output_cost_per_image": "image",
    "input_cost_per_character": "character",
    "input_cost_per_second": "second",
    "ocr_cost_per_page": "page",
    "output_cost_per_video_per_second": "video_second",
    "input_cost_per_query": "search",
}
ABOVE = re.compile(r"(.+)_above_(\d+)k_tokens")


@dataclass(frozen=True, slots=True)
class Imported:
    """units: dollars of one unit. longer: the same for prompts above so many tokens, which `price` cannot say."""

    model: str
    units: Mapping[str, Decimal]
    longer: Mapping[int, Mapping[str, Decimal]]
    problem: str = ""


def from_litellm(text: str) -> list[Imported]:
    """The prices in a file of LiteLLM's form, in its order; fields that say no price are passed over."""
    found = []
    for model, given in json.loads(text, parse_float=Decimal, parse_int=Decimal).items():
        if model == "sample_spec" or not isinstance(given, dict):
            continue
        units: dict[str, Decimal] = {}
        longer: dict[int, dict[str, Decimal]] = {}
        for field, price in given.items():
            if not isinstance(price, Decimal):
                continue
            if field in LITELLM:
                units[LITELLM[field]] = price
            elif (above := ABOVE.fullmatch(field)) and above[1] in LITELLM:
                longer.setdefault(int(above[2]) * 1000, {})[LITELLM[above[1]]] = price
        fine = [unit for unit, price in units.items() if price < 0 or price * PICOS % 1]
        problem = f"{', '.join(fine)}: no whole number of pico-dollars" if fine else ""
        if units:
            found.append(Imported(model, units, longer, problem))
    return found


def snippet(imported: Iterable[Imported]) -> str:
    """YAML for the configuration file: each model's `price`; what cannot be said there stands in comments."""
    lines = ["models:"]
    for each in imported:
        mark = "# " if each.problem else ""
        if each.problem:
            lines.append(f"  # {each.problem}")
        lines += [f"  {mark}- id: {_json(each.model)}", f"  {mark}  price: {_price(each.units)}"]
        lines += [
            f"  {mark}  # prompts of more than {tokens} tokens: {_price(units)}"
            for tokens, units in sorted(each.longer.items())
        ]
    return "\n".join(lines) + "\n"


def _price(units: Mapping[str, Decimal]) -> str:
    per = MILLION if all(price < Decimal("0.0001") for price in units.values()) else 1
    texts = [f'{unit}: "{_plain(price * per)}"' for unit, price in units.items()]
    return f"{{per: {per}, {', '.join(texts)}}}"


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
