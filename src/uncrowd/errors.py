"""The two errors that end a verb with one sentence instead of a stack trace, and the check most settings need."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, the record and the mend; the command line prints it and exits
    with status 2. Anything else that escapes is a defect of ours (status 1).
    """


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a prediction is NaN or infinite; the message says where."""


def require_at_least(least: int | float, **values: int | float) -> None:
    """Raises InputError, in words, for the first of the named values that is below `least` (NaN is)."""
    for name, value in values.items():
        if not value >= least:
            raise InputError(f"{name} is {value}; give {least} or more.")
