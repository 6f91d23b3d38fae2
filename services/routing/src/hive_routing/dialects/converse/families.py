"""What the models behind Converse take, each maker's in its own way: told by the id of the model.

The id of an application's inference profile or of a provisioned model says nothing; what Converse itself documents
is written then.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Thought = Literal["budget", "fit", "nova", "field", "effort"]


class Family(NamedTuple):
    """thought: how it is told how much to think: `budget`, by tokens; `fit`, as it sees fit, steered by effort;
    `nova`, in Amazon's own words; `field`, as OpenAI says it; `effort`, in Converse's words alone.

    top_k: where that stands in the additional fields. caches: it takes cache points. says_errors: results of tools
    have a status. is_claude: it takes what Anthropic's models take beside that.
    """

    thought: Thought
    top_k: tuple[str, ...] = ("top_k",)
    caches: bool = False
    says_errors: bool = False
    is_claude: bool = False


_WITH_BUDGET = re.compile(r"claude-(?:instant|v?[23]|(?:opus|sonnet|haiku)-4(?!-[6-9](?!\d)))")
_OTHERS = re.compile(
    r"(?:^|[./])(?:ai21|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot(?:ai)?|nvidia|openai|qwen|stability"
    r"|twelvelabs|writer|zai)\."
)


def family_of(model: str) -> Family:
    if "anthropic." in model:
        thought: Thought = "budget" if _WITH_BUDGET.search(model) else "fit"
        return Family(thought, caches=True, says_errors=True, is_claude=True)
    if "amazon.nova" in model:
        return Family(
            "nova" if "nova-2" in model else "effort",
            ("inferenceConfig", "topK"),
            caches=True,
            says_errors=True,
        )
    if "openai." in model or "moonshot" in model:
        return Family("field")
    if "cohere." in model:
        return Family("effort", ("k",))
    if _OTHERS.search(model) or "amazon.titan" in model:
        return Family("effort")
    return Family("effort", caches=True, says_errors=True)
