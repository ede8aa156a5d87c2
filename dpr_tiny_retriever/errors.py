"""Errors that callers may want to tell apart; every other bad input is a plain ValueError or TypeError."""


class ModelNotFoundError(FileNotFoundError):
    """A preset, directory or hub id cannot be had here and now; the message names the ways out."""


class CheckpointError(ValueError):
    """A model folder was found, but what it holds cannot be used; the message lists what is wrong."""


class ModelMismatchError(ValueError):
    """Stored vectors were made by another model, or a model name now loads other weights than expected."""


class MissingExtraError(ImportError):
    """A framework that an adapter needs is not installed; the message names the extra to install."""


class UnusableIndexError(ValueError):
    """An index file is damaged, or of another version or model; problem names the file, the message the remedy too."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"
