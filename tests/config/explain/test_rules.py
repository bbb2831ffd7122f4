"""Rules in words."""

from ollm.config.explain.rules import lines
from ollm.values.level import Level
from ollm.values.rules import Names, Parameters, PromptRule, Rules, Sizes


def test_every_demand_has_its_line() -> None:
    rules = Rules(
        description="for banks",
        require=Level.TEE,
        technologies=("tdx", "sev-snp"),
        gpu="required",
        max_evidence_age=600,
        regions=("eu",),
        models=Names(allow=("a",), deny=("b",)),
        tools=Names(allow=()),
        parameters=Parameters(deny=("seed",), max={"n": 1}),
        sizes=Sizes(messages=3),
        prompt=(
            PromptRule(name="cards", detect="payment_card", action="mask", mask="#", on=("request", "answer")),
            PromptRule(name="p", detect="pattern", pattern="x+"),
        ),
    )
    assert list(lines("base", rules)) == [
        'Rules "base" (for banks):',
        "  - only routes of level tee or above may serve",
        "  - the machine's evidence must prove tdx or sev-snp",
        "  - evidence of its GPUs must be verified too",
        "  - the machine was verified at most 600 seconds ago; else it is verified anew first",
        "  - upstreams must be in eu, by the configuration's word",
        "  - models: only a",
        "  - models: not b",
        "  - tools: only none at all",
        "  - a request must not have seed",
        "  - n is at most 1",
        "  - a request has at most 3 messages",
        '  - cards: payment card in requests and answers is masked as "#"',
        "  - p: what matches x+ in requests is refused",
    ]


def test_none() -> None:
    assert list(lines("base", Rules())) == ['Rules "base" demand nothing.']
