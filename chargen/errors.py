"""The one error that users are meant to read."""


class ChargenError(ValueError):
    """Something could not be done. The message is one sentence: what, where, and what to do about it."""


class ReportedError(ChargenError):
    """An error of one process, raised in the others too so that all stop; the first process has printed it."""
