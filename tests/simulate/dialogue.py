"""Hold a conversation by handing it answers; no network, no server."""

from collections.abc import Callable, Iterable
from typing import Any

from scimhub.simulate.steps import Answer, Conversation, Step, Unusable

NOBODY = Answer(200, {"totalResults": 0, "Resources": []})
DONE = Answer(204)


def one(resource: dict[str, Any]) -> Answer:
    return Answer(200, {"totalResults": 1, "Resources": [resource]})


def made(id_: str) -> Answer:
    return Answer(201, {"id": id_})


def hold(conversation: Conversation, answers: Iterable[Answer]) -> list[Step]:
    """The steps that were taken; the answers must be exactly as many."""
    waiting = list(answers)
    steps = []
    step = next(conversation, None)
    while step is not None:
        steps.append(step)
        assert waiting, f"one answer too few, for {step}"
        answer = waiting.pop(0)
        assert answer.status in step.right, f"{answer.status} is not right for {step}"
        try:
            step = conversation.send(answer)
        except StopIteration:
            step = None
    assert waiting == []
    return steps


def reply_to(conversation: Conversation, reply: Callable[[Step], Answer]) -> list[Step]:
    """The steps that were taken when each is answered by the function."""
    steps = []
    try:
        step = next(conversation)
        while True:
            steps.append(step)
            step = conversation.send(reply(step))
    except (StopIteration, Unusable):
        return steps


def spoken(steps: Iterable[Step]) -> list[tuple[Any, ...]]:
    """Steps as (method, path, query or body), the way the tables of the tests write them."""
    return [(step.method, step.path, dict(step.query) if step.body is None else step.body) for step in steps]
