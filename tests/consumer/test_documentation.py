"""The receiver of docs/consumer.md is run as it stands there."""

import base64
import io
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from scimhub.consumer import Replica
from scimhub.distribution import envelope
from tests.consumer.hub import Place

PAGE = Path(__file__).parents[2] / "docs" / "consumer.md"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


async def test_the_receiver_of_the_page_receives(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{SECRET} {SECRET}")
    (recipe,) = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "environ" in block
    ]
    names: dict[str, Any] = {}
    exec(compile(recipe, str(PAGE), "exec"), names)
    destination = await place.feed(cursor=0)
    anna = await place.user("anna")
    (change,) = await place.store.read_changes(0, 10)
    view = place.view(destination)
    notice = view.interest.assess(change)
    assert notice is not None
    (message,) = envelope.of_notice(view.envelope, notice)

    def post(body: bytes, signed: bytes) -> str:
        now = int(time.time())
        environ = {
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/cloudevents+json; charset=UTF-8",
            "HTTP_WEBHOOK_ID": message.delivery_id,
            "HTTP_WEBHOOK_TIMESTAMP": str(now),
            "HTTP_WEBHOOK_SIGNATURE": Webhook(SECRET).sign(
                message.delivery_id, datetime.fromtimestamp(now, UTC), signed.decode()
            ),
        }
        answered: list[str] = []
        assert names["application"](environ, lambda status, headers: answered.append(status)) == []
        return answered[0]

    assert post(message.body, message.body + b" ") == "401 Unauthorized"
    assert post(b"{}", b"{}") == "400 Bad Request"
    assert [post(message.body, message.body) for _ in range(2)] == ["204 No Content"] * 2
    with Replica("people.db") as replica:
        assert [held.id for held in replica.resources()] == [anna]
