"""The two errors that end a verb with one sentence instead of a stack trace."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, the record and the mend; the command line prints it and exits
    with status 2. Anything else that escapes is a defect of ours (status 1).
    """


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a prediction is NaN or infinite; the message says where.

    `watched` are the values that were to be looked at when it was noticed (`losses.matcher.match`).
    """

    def __init__(self, message: str, watched: list[float] | None = None):
        super().__init__(message)
        self.watched = watched or []
