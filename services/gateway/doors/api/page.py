"""The frame of the gateway's few HTML pages: style inside, no script."""

from html import escape


def framed_page(title: str, content: str, *, style: str) -> str:
    """HTML. `content` and `style` are ours and go in as they are; `title` is escaped."""
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
