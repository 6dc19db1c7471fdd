"""The picture holds what was said, whole, and asks nothing from elsewhere."""

import re
from pathlib import Path
from xml.etree import ElementTree

from rich.text import Text

from scimhub.demo.screen import Screen


def test_the_picture_has_what_was_said_and_no_address_of_a_server(tmp_path: Path, capsys):
    screen = Screen(is_pictured=True)
    screen.say("Every copy equals the hub.", Text("x" * 300, no_wrap=True, overflow="ellipsis"))
    screen.save_picture(tmp_path / "demo.svg", "make demo")
    drawn = (tmp_path / "demo.svg").read_text("utf-8")
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    lines = [text.replace("\u00a0", " ") for text in texts if text.strip()]
    assert lines == ["make demo", "Every copy equals the hub.", f"{'x' * 111}…"]
    assert set(re.findall(r"https?://[^/\s\"]+", drawn)) == {"http://www.w3.org", "https://www.textualize.io"}
    assert capsys.readouterr().out.splitlines() == ["Every copy equals the hub.", f"{'x' * 119}…"]


def test_a_token_is_not_cut_however_narrow_the_screen(capsys):
    Screen().say(Text("t" * 300, no_wrap=True, overflow="ignore"))
    assert capsys.readouterr().out == f"{'t' * 300}\n"
