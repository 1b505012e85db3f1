"""Refuses a page that would fetch a script, style, font or image from elsewhere when it is opened."""

import re

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

_FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^"'>\s]+""")


def on_post_page(output: str, *, page: Page, **_: object) -> str:
    """Returns the page unchanged. Raises PluginError when it would fetch something."""
    fetched = [tag for tag in _FETCHED.findall(output) if 'rel="canonical"' not in tag]
    if fetched:
        raise PluginError(f"{page.file.src_uri} would fetch from elsewhere: {fetched[0]}")
    return output
