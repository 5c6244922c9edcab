"""docs/studio.md has the keys and the requests that there are."""

from __future__ import annotations

import re

from darkroom.studio import server
from support.runs import ROOT

PAGE = (ROOT / "docs/studio.md").read_text()


def test_the_keys_are_those_of_the_page() -> None:
    script = (server.PAGE / "keys.js").read_text()
    listed = script[script.index("const HELP") : script.index("\n];")]
    keys = re.findall(r'\["(.+)", "(.+)"\]', listed)
    assert len(keys) > 20
    table = PAGE[PAGE.index("## Keys") : PAGE.index("## Its files")]
    assert re.findall(r"^\| (.+) \| (.+) \|$", table, re.MULTILINE) == keys


def test_every_request_is_listed() -> None:
    table = PAGE[PAGE.index("## Requests") :]
    source = (ROOT / "pipeline/darkroom/studio/server.py").read_text()
    handled = re.findall(r'_(?:get|post)\((?:f?"(.+?)"|(\w+)), self\.', source)
    assert len(handled) > 20
    for path, name in handled:
        last = (path or {"photo": "/api/photos/I", "run": "/api/runs/NAME"}[name]).split("/")[-1]
        what = {"{name}": "", "{{what}}": "WHAT", "{path:path}": "files", "{{path:path}}": "files"}.get(last, last)
        assert what in table, path
