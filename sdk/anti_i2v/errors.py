"""Every error that this package raises on purpose.

AntiI2VError
|-- PhotoError                the photo cannot be read, or is of a kind that is refused
|-- OutputError               the result cannot be written (exists, folder missing, format cannot hold it)
|-- RecipeError               unknown recipe or preset, or a setting out of range
|-- SurrogateError            a surrogate, a weight file or the package that reads it is missing or unfit
|-- BudgetError               a saved photo would exceed its budget: a bug of ours, never ignored
`-- Cancelled                 the caller asked to stop

RecipeError is a ValueError too, so that `except ValueError` works as Python users expect.
"""

__all__ = [
    "AntiI2VError",
    "BudgetError",
    "Cancelled",
    "OutputError",
    "PhotoError",
    "RecipeError",
    "SurrogateError",
]


class AntiI2VError(Exception):
    """The root: catching it catches every error below, each one line that says what to do."""


class PhotoError(AntiI2VError):
    """The photo cannot be read, or is of a kind that is refused."""


class OutputError(AntiI2VError):
    """The result cannot be written where it was asked for."""


class RecipeError(AntiI2VError, ValueError):
    """An unknown recipe or preset, or a setting out of its range."""


class SurrogateError(AntiI2VError):
    """A surrogate, its weights or the package that reads them is missing or unfit."""


class BudgetError(AntiI2VError):
    """The gate found a protected photo over its budget. It is never saved."""


class Cancelled(AntiI2VError):
    """The caller cancelled the protection."""
