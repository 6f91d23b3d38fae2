"""`/policies` and `/guard`: what guards do for whom, and what they make of a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from hive_console.books import SECONDS, answer_of
from hive_console.control import GuardAction, GuardPolicy, GuardRule
from hive_console.declarations import Form, printable, wrong
from hive_console.guards import GUARDS, Policies, Standing
from hive_console.http.reading import AskedPage, body_of
from hive_console.wire import deleted_answer, list_answer
from hive_rpc import Channel
from modelhive.guardrails.v1.guard_pb2 import Tested, TestRequest
from modelhive.guardrails.v1.guard_pb2_grpc import GuardStub

T = TypeVar("T")

MOST_WORDS = 2_000
LONGEST_WORD = 200


def _guard(value: str) -> str:
    if value not in GUARDS:
        raise wrong(f"must be one of {', '.join(GUARDS)}")
    return value


def _word(value: str) -> str:
    if not value or value != value.strip():
        raise wrong("must not be empty, nor begin or end with a space")
    if not value.strip("*"):
        raise wrong("must have a character before its '*'")
    return printable(value)


def _no_twins(name_of: Callable[[T], object]) -> Callable[[list[T]], list[T]]:
    def check(values: list[T]) -> list[T]:
        seen: set[object] = set()
        for name in map(name_of, values):
            if name in seen:
                raise wrong(f"must not name {name!r} twice")
            seen.add(name)
        return values

    return check


GuardName = Annotated[str, AfterValidator(_guard)]


class RuleForm(Form):
    """What one guard does, and where; on the input alone unless it says otherwise."""

    name: GuardName
    action: Literal["block", "redact", "observe"]
    input: bool = True
    output: bool = False
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None

    @field_validator("action")
    @classmethod
    def _can_be_done(cls, action: str, info: ValidationInfo) -> str:
        guard = info.data.get("name")
        if guard is not None and GuardAction(action) not in GUARDS[guard]:
            can = " or ".join(each.value for each in GUARDS[guard])
            raise wrong(f"must be {can}: {guard} cannot {action}")
        return action

    @model_validator(mode="after")
    def _runs_somewhere(self) -> RuleForm:
        if not (self.input or self.output):
            raise wrong("must run on the input, on the output, or on both")
        return self

    def rule(self) -> GuardRule:
        return GuardRule(self.name, GuardAction(self.action), self.input, self.output, self.threshold)


Rules = Annotated[list[RuleForm], AfterValidator(_no_twins(lambda rule: rule.name))]
Names = Annotated[list[GuardName], AfterValidator(_no_twins(lambda name: name))]
Words = Annotated[
    list[Annotated[str, Field(max_length=LONGEST_WORD), AfterValidator(_word)]],
    Field(max_length=MOST_WORDS),
    AfterValidator(_no_twins(str.casefold)),
]


class PolicyPatch(Form):
    guards: Rules = Field(default=[])
    denied_words: Words = Field(default=[])
    locked: Names = Field(default=[])

    def values(self) -> dict[str, Any]:
        """The written fields as `GuardPolicy` has them."""
        values = {name: tuple(value) for name, value in self.given().items()}
        if "guards" in values:
            values["rules"] = tuple(rule.rule() for rule in values.pop("guards"))
        return values


class PolicyForm(PolicyPatch):
    guards: Rules


class GuardTest(Form):
    """guards: null asks all. tenant, key: whose denied words."""

    text: Annotated[str, Field(min_length=1)]
    guards: Names | None = None
    tenant: str | None = None
    key: str | None = None


Whole = Annotated[PolicyForm, Depends(body_of(PolicyForm))]
Part = Annotated[PolicyPatch, Depends(body_of(PolicyPatch))]


def policy_routes(policies: Policies) -> APIRouter:
    router = APIRouter(prefix="/policies")

    @router.get("")
    async def list_policies(
        page: AskedPage, tenant: str | None = None, key: str | None = None
    ) -> dict[str, Any]:
        return list_answer(await policies.list(page, tenant, key), policy_answer)

    @router.get("/{tenant}")
    @router.get("/{tenant}/{key}")
    async def get_policy(tenant: str, key: str | None = None) -> dict[str, Any]:
        return standing_answer(await policies.get(tenant, key))

    @router.put("/{tenant}")
    @router.put("/{tenant}/{key}")
    async def put_policy(tenant: str, body: Whole, key: str | None = None) -> dict[str, Any]:
        return policy_answer(await policies.put(tenant, key, body.values()))

    @router.patch("/{tenant}")
    @router.patch("/{tenant}/{key}")
    async def change_policy(tenant: str, body: Part, key: str | None = None) -> dict[str, Any]:
        return policy_answer(await policies.change(tenant, key, body.values()))

    @router.delete("/{tenant}")
    @router.delete("/{tenant}/{key}")
    async def delete_policy(tenant: str, key: str | None = None) -> dict[str, Any]:
        await policies.delete(tenant, key)
        return deleted_answer("guard_policy", tenant if key is None else f"{tenant}/{key}")

    return router


def guard_routes(policies: Policies, channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/guard")
    guard = GuardStub(channel)

    @router.post("/test")
    async def test(body: Annotated[GuardTest, Depends(body_of(GuardTest))]) -> dict[str, Any]:
        request = TestRequest(
            text=body.text,
            guards=body.guards,
            tenant_id=await policies.tenant_of(body.tenant, body.key) or "",
            key_id=body.key or "",
        )
        found = await answer_of("guardrails", guard.Test(request, timeout=SECONDS))
        return {"object": "guard_test", "data": [_tested_answer(each) for each in found.tested]}

    return router


def policy_answer(policy: GuardPolicy) -> dict[str, Any]:
    return standing_answer(Standing(policy))


def standing_answer(standing: Standing) -> dict[str, Any]:
    policy = standing.policy
    return {
        "object": "guard_policy",
        "id": policy.id,
        "tenant": policy.tenant_id,
        "key": policy.key_id,
        "default": standing.is_default,
        "inherited": standing.is_inherited,
        "guards": [_rule_answer(rule) for rule in policy.rules],
        "denied_words": policy.denied_words,
        "locked": policy.locked,
    }


def _rule_answer(rule: GuardRule) -> dict[str, Any]:
    written = asdict(rule)
    return {"name": written.pop("guard"), **written, "action": rule.action.value}


def _tested_answer(tested: Tested) -> dict[str, Any]:
    return {
        "guard": tested.guard,
        "version": tested.version,
        "score": tested.score,
        "threshold": tested.threshold,
        "verdict": "finding" if tested.score >= tested.threshold else "clean",
        "findings": [
            {"category": each.category, "start": each.start, "end": each.end} for each in tested.findings
        ],
        "microseconds": tested.duration_us,
    }
