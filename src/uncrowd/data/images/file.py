"""Opens image files: decides what is one, and refuses what cannot be read before a pixel of it is decoded."""

import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import BytesIO, TextIOBase
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol, cast, runtime_checkable

from PIL import Image, UnidentifiedImageError

from uncrowd.errors import InputError


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Returns the next bytes."""
        ...


# A path, the bytes of a file, or an open file.
ImageSource = Path | bytes | BinaryFile

# Width times height up to which an image is decoded, unless the caller says otherwise. It is the limit of Pillow. RGB
# takes 3 bytes a pixel; meanwhile Pillow's own copy takes 4, and 4 more if EXIF turns the image.
MAX_PIXELS = 178_956_970
# The same where images are cut into tiles, for which large ones are meant: 7 GB of memory while the file is read whole.
MAX_PIXELS_IN_TILES = 1_000_000_000

# Endings of images that are read only where Pillow has the format or a plugin for it.
_OPTIONAL = {**dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"), ".avif": "AVIF", ".jxl": "JPEG XL"}
# Endings of camera raw, of which Pillow would read the preview.
_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
# HEIC and AVIF share a container; its bytes 4 to 12 tell them apart.
_BRANDS = {
    **dict.fromkeys((b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypheim", b"ftypheis", b"ftypmif1"), "HEIC"),
    **dict.fromkeys((b"ftypavif", b"ftypavis"), "AVIF"),
}
_PLUGINS = {"HEIC": "pillow-heif", "JPEG XL": "pillow-jxl-plugin"}
# Formats whose first bytes cannot be mistaken for those of another file.
_UNMISTAKABLE = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "HEIF")
# Data and videos, which Pillow names but does not decode.
_UNDECODED = ("BUFR", "GRIB", "HDF5", "MPEG")
_NO_FILE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

with suppress(ImportError):
    import_module("pillow_heif").register_heif_opener()


class _PillowSettings:
    """Pillow's warnings and its limit on pixels, which belong to the process, while images are open here.

    Threads share them: the first that opens an image changes them, and the last that closes one restores them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open = 0

    @contextmanager
    def changed(self, max_pixels: int) -> Iterator[None]:
        """Hides the warnings, and raises the limit where `max_pixels` is higher than `MAX_PIXELS`."""
        with self._lock:
            if not self._open:
                self._limit = Image.MAX_IMAGE_PIXELS
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                # From half of its limit on Pillow suspects an attack; too large an image is refused in a sentence.
                warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
                # It warns of damaged tags without the name of the file; the pixels are read or refused all the same.
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._open += 1
            if max_pixels > MAX_PIXELS and Image.MAX_IMAGE_PIXELS is not None:  # Pillow refuses from twice its limit on
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, -(-max_pixels // 2))
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if not self._open:
                    Image.MAX_IMAGE_PIXELS = self._limit
                    self._warnings.__exit__(None, None, None)


_pillow = _PillowSettings()


@contextmanager
def open_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image for the code inside, which decodes it, and turns an error of either into an InputError.

    max_pixels: width times height up to which an image is accepted. A lower limit of Pillow holds as well, unless this
    one is higher than `MAX_PIXELS`.

    Raises InputError, with the name of the file, for what is no regular file, no image, damaged or too large, and for
    an InputError of the code inside.
    """
    if isinstance(source, Path):
        require_regular(source)
        if source.suffix.lower() in _RAW:
            raise InputError(f"{source} is camera raw, which is not read; save it as JPEG.")
    file = BytesIO(source) if isinstance(source, bytes) else source
    with _pillow.changed(max_pixels):
        try:
            with Image.open(cast(Path | BinaryIO, file)) as image:
                if image.width * image.height > max_pixels:
                    raise _too_large(max_pixels)
                yield image
        except InputError as error:
            raise InputError(f"{_name(source)}: {error}") from error
        except Image.DecompressionBombError as error:
            limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
            raise InputError(f"{_name(source)}: {_too_large(limit)}") from error
        except MemoryError as error:  # the image may be good
            raise InputError(f"{_name(source)} needs more memory than there is now; end other programs.") from error
        except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
            raise _unreadable(source, error) from error


def require_regular(path: Path) -> None:
    """Raises InputError for what is no regular file. It is not opened: to read a pipe or a device may never end."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError as error:
        if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
            raise InputError(f"{path} is a URL; download it, and give the file or its bytes.") from error
        raise InputError(f"{path} does not exist; put the image there or correct its name.") from error
    except (OSError, ValueError) as error:  # no permission, a loop of links, an impossible name
        raise _unreadable(path, error) from error
    if kind != stat.S_IFREG:
        raise InputError(f"{path} is {_NO_FILE.get(kind, 'no regular file')}, not an image file; give the file itself.")


def is_image_file(path: Path) -> bool:
    """Returns whether a path is that of an image: by its ending, or by its first bytes where it has no ending.

    Images that cannot be read are also images. Files are opened only where they have no ending.
    """
    if path.suffix:
        ending = path.suffix.lower()
        return _is_read(ending) or ending in _OPTIONAL or ending in _RAW
    if not path.is_file():
        return False
    try:
        if _unread_format(path) is not None:
            return True
        Image.init()  # fills Image.OPEN
        formats = [name for name in _UNMISTAKABLE if name in Image.OPEN]
        with _pillow.changed(MAX_PIXELS), Image.open(path, formats=formats):
            return True
    except Exception:  # damaged bytes may raise nearly anything, as in `open_image`
        return False


def _is_read(ending: str) -> bool:
    format = Image.registered_extensions().get(ending)
    return format in Image.OPEN and format not in _UNDECODED


def _too_large(max_pixels: int) -> InputError:
    return InputError(
        f"the image has more than {max_pixels:,} pixels, which is the limit; cut it into tiles, or raise the limit "
        "(--max-pixels, in Python max_pixels)."
    )


def _unreadable(source: ImageSource, error: Exception) -> InputError:
    name = _name(source)
    if isinstance(source, TextIOBase):
        return InputError(f"{name} is open as text; open it with mode 'rb'.")
    if isinstance(source, Path) and (format := _unread_format(source)) is not None:
        plugin = f"pip install {_PLUGINS[format]}, or " if format in _PLUGINS else ""
        return InputError(f"{name} is a {format} image, which cannot be read here; {plugin}save it as JPEG.")
    reason = "no known image format" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")
    return InputError(
        f"{name} cannot be read as an image ({reason or type(error).__name__}); replace the file or leave it out."
    )


def _unread_format(path: Path) -> str | None:
    """Returns the name of the file's format where Pillow lacks what reads it."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        format = _BRANDS.get(file.read(12)[4:]) or _OPTIONAL.get(path.suffix.lower())
        return None if any(_is_read(ending) for ending, name in _OPTIONAL.items() if name == format) else format
    return None


def _name(source: ImageSource) -> str:
    if isinstance(source, Path):
        return str(source)
    if isinstance(source, bytes):
        return "An image given as bytes"
    return f"The open file {getattr(source, 'name', None) or type(source).__name__}"
