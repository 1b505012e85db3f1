"""Which blocks of a page are run, and which are left out or shortened."""

from tests.docs.run_commands import blocks, shortened

PAGE = """\
Text.

<!-- not run: it would take hours -->
```bash
sleep 10000
```

```python
print("found")
```

```text
no command
```
"""


def test_a_block_is_run_unless_the_page_says_why_not() -> None:
    waits, prints = blocks("page.md", PAGE)
    assert (waits.language, waits.left_out) == ("bash", "it would take hours")
    assert (prints.line, prints.language, prints.text, prints.left_out) == (8, "python", 'print("found")\n', "")


def test_long_commands_are_shortened_and_others_are_not() -> None:
    short = shortened("uncrowd check data/\nuncrowd train --data data/ --device cpu")
    assert short.startswith("uncrowd check data/\nuncrowd train --data data/ --train.epochs 1 ")
    assert short.endswith(" --device cpu")
