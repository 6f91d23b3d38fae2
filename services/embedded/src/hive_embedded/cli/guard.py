"""`guard`: what guards make of a text, and which of them run for whom."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Annotated, Any

import typer

from hive_embedded.admin import AdminError
from hive_embedded.cli import values
from hive_embedded.cli.output import AsJson, Column, Row, gateway, note, say, say_json, show

DENIED_WORDS = "denied-words"
STAGES = ("input", "output")
SHOWN_CHARACTERS = 40
MICROSECONDS = 1000
"""From here on times are shown in milliseconds."""

guard = typer.Typer(
    help="Test guards on a text, and decide which of them run for whom.", no_args_is_help=True
)

Tenant = Annotated[str, typer.Argument(help="Whose policy.")]
Key = Annotated[str | None, typer.Option(help="The policy of this key alone, in place of its tenant's.")]


@guard.command("test")
def test(
    text: Annotated[str, typer.Argument(help="What to look at; `-` reads it from standard input.")],
    guards: Annotated[str | None, typer.Option(help="Ask these only, with commas between.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose denied words.")] = None,
    key: Annotated[str | None, typer.Option(help="Whose denied words, beside its tenant's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the guards what they make of a text, whatever any policy says. Nothing of it is kept."""
    text = sys.stdin.read() if text == "-" else text
    body = {"text": text, "guards": values.words(guards) or None, "tenant": tenant, "key": key}
    found = gateway().call("POST", "/guard/test", body)["data"]
    if as_json:
        say_json(found)
    else:
        show([{**each, "text": text} for each in found], TESTED)


@guard.command("show")
def show_policies(
    tenant: Annotated[str | None, typer.Argument(help="Whose policy; default: all that were set.")] = None,
    key: Annotated[str | None, typer.Argument(help="Its key `key_…`, and what runs for that.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which guards run: of one tenant and its keys, of one key, or all policies that were set."""
    found = _policies(tenant, key)
    if as_json:
        say_json(found)
        return
    _show(found, with_words=tenant is not None)
    if tenant is None:
        note("Tenants that are not listed have the default policy: `modelhive guard show TENANT` shows it.")


@guard.command("set")
def set_policy(
    tenant: Tenant,
    key: Key = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--guard",
            metavar="NAME=ACTION[:STAGES]",
            help="Let a guard run, such as secrets=redact or pii=block:input,output. "
            "Actions: block, redact, observe. Stages: input (the default), output.",
        ),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Let this guard run no more.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SCORE",
            help="From which score on, above 0 and up to 1, it is a finding; none: the guard's own.",
        ),
    ] = None,
    deny: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Add this to the denied words.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Take this out of the denied words.")
    ] = None,
    lock: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Callers cannot leave this guard out (`x-hive-guard`)."),
    ] = None,
    unlock: Annotated[list[str] | None, typer.Option(metavar="NAME", help="They can again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named of a policy, and nothing else.

    A tenant begins with the default policy, a key with the guards of its tenant. Denied words and locks of the tenant
    hold for its keys too. Every option but `--key` may be repeated.
    """
    if not any((rules, remove, threshold, deny, allow, lock, unlock)):
        said = (
            "Nothing to change: name a --guard, --remove, --threshold, --deny, --allow, --lock or --unlock."
        )
        raise AdminError(said)
    given = [_rule(each) for each in rules or ()]
    thresholds = [_threshold(each) for each in threshold or ()]
    before = gateway().call("GET", _path(tenant, key))
    guards = _guards(before["guards"], remove or (), given, thresholds)
    is_new = bool(deny) and DENIED_WORDS not in guards
    if is_new:
        guards[DENIED_WORDS] = {"name": DENIED_WORDS, "action": "block"}
    changes = {
        "guards": list(guards.values()),
        "denied_words": _edited(before["denied_words"], deny or (), allow or (), "--allow"),
        "locked": _edited(before["locked"], lock or (), unlock or (), "--unlock"),
    }
    changed = {name: value for name, value in changes.items() if value != before[name]}
    after = gateway().call("PATCH", _path(tenant, key), changed) if changed else before
    if is_new:
        note("The guard denied-words did not run: it blocks now.")
    if as_json:
        say_json(after)
    else:
        _show([after], with_words=True)


@guard.command("reset")
def reset_policy(tenant: Tenant, key: Key = None, as_json: AsJson = False) -> None:
    """Drop a policy: the default holds for the tenant again, or the tenant's policy for the key."""
    gone = gateway().call("DELETE", _path(tenant, key))
    if as_json:
        say_json(gone)
    elif key is None:
        say(f"The default policy holds for {tenant}.")
    else:
        say(f"The policy of {tenant} holds for {key}.")


def _path(tenant: str, key: str | None) -> str:
    return f"/policies/{tenant}" if key is None else f"/policies/{tenant}/{key}"


def _policies(tenant: str | None, key: str | None) -> list[dict[str, Any]]:
    if tenant is None:
        return sorted(gateway().get_all("/policies"), key=lambda policy: str(policy["id"]))
    found = gateway().call("GET", _path(tenant, key))
    if key is not None:
        return [found]
    of_tenant = gateway().get_all("/policies", {"tenant": tenant})
    return [found, *(each for each in of_tenant if each["key"])]


# What is changed


def _guards(
    before: list[dict[str, Any]],
    removed: Collection[str],
    given: Collection[dict[str, Any]],
    thresholds: Collection[tuple[str, float | None]],
) -> dict[str, dict[str, Any]]:
    """The rules by their guards, in their order: less those removed, and with those given in place or at the end."""
    rules = {rule["name"]: rule for rule in before}
    for name in removed:
        _require(name, rules, f"--remove {name}")
        del rules[name]
    for rule in given:
        rules[rule["name"]] = rules.get(rule["name"], {}) | rule
    for name, score in thresholds:
        _require(name, rules, f"--threshold {name}")
        rules[name] = rules[name] | {"threshold": score}
    return rules


def _edited(before: list[str], more: Collection[str], less: Collection[str], option: str) -> list[str]:
    """Without `less`, with `more` behind; case does not matter, for guards pay no heed to it."""
    have = {each.casefold(): each for each in before}
    for each in less:
        _require(each.casefold(), have, f"{option} {each}")
    gone = {each.casefold() for each in less}
    kept = {folded: each for folded, each in have.items() if folded not in gone}
    for each in more:
        kept.setdefault(each.casefold(), each)
    return list(kept.values())


def _require(name: str, have: Collection[str], written: str) -> None:
    if name not in have:
        there = ", ".join([*have][:20]) or "nothing"
        raise AdminError(f"{written}: it is not in this policy, which has {there}.")


def _rule(text: str) -> dict[str, Any]:
    """`secrets=redact` or `pii=block:input,output`; raises AdminError."""
    name, _, does = text.partition("=")
    action, colon, where = does.partition(":")
    stages = values.words(where)
    if not name or not action or bool(colon) != bool(stages) or not {*stages} <= {*STAGES}:
        raise AdminError(f"--guard {text}: write it as secrets=redact, or pii=block:input,output.")
    named = {stage: stage in stages for stage in STAGES} if stages else {}
    return {"name": name.strip(), "action": action.strip(), **named}


def _threshold(text: str) -> tuple[str, float | None]:
    """`toxicity=0.8`, or `toxicity=none`; raises AdminError."""
    name, _, score = text.partition("=")
    try:
        found = None if score == values.NONE else float(score)
    except ValueError:
        found = 0.0
    if found is not None and not 0 < found <= 1:
        raise AdminError(f"--threshold {text}: write it as toxicity=0.8 (up to 1), or toxicity=none.")
    return name, found


# What is shown


def _show(policies: list[dict[str, Any]], *, with_words: bool) -> None:
    lines = [line for policy in policies for line in _lines(policy)]
    show(lines, POLICIES, ends=lambda line: bool(line["last"]))
    for policy in policies if with_words else ():
        if policy["denied_words"]:
            say(f"Denied words of {policy['id']}: {', '.join(policy['denied_words'])}")
    if with_words and any(policy["key"] for policy in policies):
        note("Denied words and locks of a tenant hold for its keys too.")


def _lines(policy: Row) -> Iterator[Row]:
    """One line for the policy, and one for each guard that runs or is locked."""
    names = [rule["name"] for rule in policy["guards"]]
    rules = [*policy["guards"], *({"name": name} for name in policy["locked"] if name not in names)]
    yield {"what": _title(policy), "words": len(policy["denied_words"]) or None, "last": not rules}
    for place, rule in enumerate(rules, 1):
        yield {
            **rule,
            "what": f"  {rule['name']}",
            "on": ", ".join(stage for stage in STAGES if rule.get(stage)),
            "locked": "locked" if rule["name"] in policy["locked"] else "",
            "last": place == len(rules),
        }


def _title(policy: Row) -> str:
    if policy["default"]:
        return f"{policy['id']} (default)"
    if policy["inherited"]:
        return f"{policy['id']} (as its tenant)"
    return policy["id"] if policy["guards"] else f"{policy['id']} (nothing runs)"


def _found(tested: Row) -> str:
    """Each finding and the words that it is about, unless these are all."""
    return "\n".join(_finding(each, tested["text"]) for each in tested["findings"])


def _finding(finding: dict[str, Any], text: str) -> str:
    words = text[finding["start"] : finding["end"]]
    if words == text:
        return str(finding["category"])
    cut = words if len(words) <= SHOWN_CHARACTERS else words[:SHOWN_CHARACTERS] + "…"
    return f"{finding['category']}: {' '.join(cut.split())}"


def _time(tested: Row) -> str:
    taken = tested["microseconds"]
    return f"{taken} µs" if taken < MICROSECONDS else f"{taken / MICROSECONDS:.1f} ms"


TESTED = (
    Column("guard", "guard", whole=True),
    Column("verdict", "verdict", whole=True),
    Column("score", lambda tested: f"{tested['score']:.3f}", number=True),
    Column("threshold", lambda tested: f"{tested['threshold']:.3f}", number=True),
    Column("found", _found),
    Column("time", _time, number=True),
)
POLICIES = (
    Column("policy and guards", "what"),
    Column("action", "action", whole=True),
    Column("on", "on", whole=True),
    Column("threshold", "threshold", number=True),
    Column("", "locked", whole=True),
    Column("denied\nwords", "words", number=True),
)
