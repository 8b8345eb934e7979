"""The layout of the gateway's HTML pages: inline style, no script."""

from html import escape


def framed_page(title: str, content: str, *, style: str) -> str:
    """The HTML of a page. `title` is escaped; `content` and `style` are inserted as they are."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
