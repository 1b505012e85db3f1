"""Appends the cards of the detectors that come with the package to their page."""

import re

from mkdocs.structure.pages import Page

from uncrowd.weights.packaged import detectors


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Returns the page; that of the detectors gets their cards."""
    return "\n\n".join([markdown, *cards()]) if page.file.src_uri == "detectors.md" else markdown


def cards() -> list[str]:
    """Returns the cards without what only the Hub reads, each as a section of the page."""
    texts = [file.with_suffix(".md").read_text(encoding="utf-8") for file in detectors().values()]
    return [re.sub(r"^#", "##", text.split("---\n", 2)[2].strip(), flags=re.MULTILINE) for text in texts]
