"""The HTML of the approval page: its own style, no script."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 30rem; padding: 1.5rem }
h1 { font-size: 1.5rem; line-height: 1.2 }
label, legend { display: block; font-weight: 600; margin-top: 1rem }
input, select, button { box-sizing: border-box; font: inherit; min-height: 2.75rem;
  padding: .5rem .75rem; width: 100% }
button { margin-top: 1rem }
:focus-visible { outline: 3px solid #1a6fe0; outline-offset: 2px }
.code { font-family: ui-monospace, monospace; letter-spacing: .15em }
dt { font-weight: 600 }
dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
[role=alert] { border-left: .4rem solid #c22; padding-left: .75rem }
"""
_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""Allows the style above and forms to this page; no scripts and no framing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """The device as the approver sees it. `code` is the user code as the device displays it."""

    code: str
    kind: str
    label: str
    address: str
    agent: str
    since: str


def code_page(csrf: str, *, code: str = "", wrong: str = "") -> str:
    """The form for the user code."""
    return _framed(
        "Let a device in",
        f"""{_alert(wrong)}
<form method="post">
{_hidden({"csrf": csrf})}
<label for="user_code">The code that the device shows</label>
<input class="code" id="user_code" name="user_code" value="{escape(code)}" required autofocus
  autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="40">
<button>Continue</button>
</form>""",
    )


def answer_page(
    csrf: str,
    approval: Approval,
    *,
    login: str = "",
    tenants: Iterable[str] = (),
    wrong: str = "",
) -> str:
    """The device's information, and the form for the approver's login and answer."""
    return _framed(
        f"{approval.kind} wants to be let in",
        f"""{_alert(wrong)}
<p>Say yes only if the device stands in front of you, or in front of somebody you trust, and shows
this code.</p>
{_facts(approval)}
<form method="post">
{_hidden({"csrf": csrf, "user_code": approval.code})}
<label for="email">Your e-mail address</label>
<input id="email" name="email" type="email" value="{escape(login)}" required autofocus
  autocomplete="username" maxlength="254">
<label for="password">Your password</label>
<input id="password" name="password" type="password" required autocomplete="current-password"
  maxlength="128">
{_choice(tenants)}
<button name="answer" value="allow">Let it in</button>
<button name="answer" value="refuse">Refuse</button>
</form>""",
    )


def done_page(title: str, text: str) -> str:
    """The outcome."""
    return _framed(title, f'<p role="status">{escape(text)}</p>')


def _facts(approval: Approval) -> str:
    facts = {
        "Device": f"{approval.kind}: {approval.label}" if approval.label else approval.kind,
        "Asks from": approval.address,
        "Program": approval.agent or "says nothing of itself",
        "Asked at": approval.since,
    }
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()
    )
    return f'<dl><dt>Code</dt><dd class="code">{escape(approval.code)}</dd>{rows}</dl>'


def _choice(tenants: Iterable[str]) -> str:
    options = "".join(f"<option>{escape(one)}</option>" for one in tenants)
    if not options:
        return ""
    return f'<label for="tenant">For</label><select id="tenant" name="tenant">{options}</select>'


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _alert(text: str) -> str:
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def _framed(title: str, content: str) -> str:
    """The HTML of a page. `title` is escaped; `content` is inserted as it is."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
