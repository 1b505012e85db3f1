"""The two errors that end a command with one sentence instead of a stack trace, and a check for settings."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the file, the record and the mend; the command line prints it and exits
    with status 2. Any other error that escapes is a defect of uncrowd (status 1).
    """


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a prediction is NaN or infinite; the message says where."""


def require_at_least(least: int | float, **values: int | float) -> None:
    """Raises InputError for the first of the named values that is below `least` or NaN."""
    for name, value in values.items():
        if not value >= least:
            raise InputError(f"{name} is {value}; give {least} or more.")
