"""The two errors that end a verb with one sentence instead of a stack trace."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, the record and the mend; the command line prints it and exits
    with status 2. Anything else that escapes is a defect of ours (status 1).
    """


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a box became NaN or infinite; the message says where, and training stops."""
