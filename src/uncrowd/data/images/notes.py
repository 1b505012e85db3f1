"""What is said of an image file that is read only in part or becomes hardly visible."""


def is_dark(brightest: int | None) -> bool:
    """Returns whether 16-bit pixels use less than a quarter of their range, as 10-, 12- and 14-bit cameras write them.

    brightest: their largest value, None for other pixels.
    """
    return brightest is not None and 0 < brightest < 2**14


def notes_on(pages: int, brightest: int | None) -> list[str]:
    """Returns what was left out and what makes the image hardly visible, without the name of the file."""
    left_out = [f"only the first of its {pages} images is read"] if pages > 1 else []
    dark = [f"its 16-bit pixels use only 0 to {brightest} of 65535 and become dark; rescale them"]
    return left_out + dark if is_dark(brightest) else left_out
