"""One HTML file: the lesson's data, the scripts and the styles, and a policy that forbids every request."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

from explainer.page.colours import colours
from explainer.page.sources import script, style

_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def document(tree: Mapping[str, Any], blob: str, *, title: str, language: str) -> str:
    """Return the whole page.

    Names from a trace are data, never markup: they stand in JSON whose "<" is escaped, and the script writes them as
    text. The policy lets this page's own script and style run, by their digests, and nothing be fetched from anywhere.
    """
    code, looks = f"\n{script()}\n", f"\n{colours()}{style()}\n"
    policy = (
        f"default-src 'none'; script-src '{_digest(code)}'; style-src '{_digest(looks)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="{html.escape(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{html.escape(_legible(title))}</title>
<style>{looks}</style>
</head>
<body>
<div id="lesson"></div>
<noscript><p class="without-script">{html.escape(str(tree["texts"]["without_script"]))}</p></noscript>
<script type="application/json" id="data">{_safe(json.dumps(tree, ensure_ascii=False, allow_nan=False))}</script>
<script type="application/octet-stream" id="arrays">{blob}</script>
<script type="module">{code}</script>
</body>
</html>
"""


def _legible(text: str) -> str:
    """Show signs that turn the direction of writing by their codes: a name must not write over its neighbours."""
    return _TURNS.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def _safe(text: str) -> str:
    """Escape what could end a script element or begin a comment, in a way that JSON reads as the same text."""
    return _legible(text).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
