"""What a file name in an annotation file may mean.

Annotation tools write names with backslashes, URL-encoded, without a suffix, or as paths of the exporting machine.
"""

import os
import posixpath
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, unquote

from uncrowd.data.images.listing import has_suffix

# A name as folders and a file: ("images", "a.jpg").
Parts = tuple[str, ...]
# Name -> what it may mean, as `readings` returns it.
Readings = Mapping[str, Sequence[Parts]]


def readings(name: str) -> list[Parts]:
    r"""Returns what a file name may mean: as it is, with / for \, URL-decoded, or given in a query (`?d=a/b.jpg`)."""
    texts = [name]
    if "\\" in name:
        texts.append(name.replace("\\", "/"))
    address, _, query = texts[-1].partition("?")
    if query:
        texts += filter(has_suffix, [address, *(value for _, value in parse_qsl(query))])
    if "%" in name:
        texts += [unquote(text).replace("\\", "/") for text in texts]
    return list(filter(None, dict.fromkeys(map(_parts, texts)))) or [(name,)]  # "." names nothing


def leads_out(name: str) -> bool:
    """Whether a name leads out of the folder to which it is relative, or may do so."""
    return os.path.isabs(name) or (".." in name and ".." in name.split("/"))


def _parts(name: str) -> Parts:
    """Returns a name without what leads nowhere or out: a/./../b.jpg is b.jpg, and so is /../b.jpg."""
    path = posixpath.normpath(name) if "." in name[:-1].split("/") or ".." in name else name
    return tuple(part for part in path.split("/") if part not in ("", ".", ".."))
