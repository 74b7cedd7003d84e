"""Every error that this package raises on purpose.

AntiI2VError
|-- PhotoError                the photo cannot be read, or is of a kind that is refused
|-- OutputError               the result cannot be written (exists, folder missing, format cannot hold it)
|-- RecipeError               unknown recipe or preset, or a setting out of range
|-- SurrogateError            a surrogate, a weight file or the package that reads it is missing or unfit
|-- BudgetError               a protected photo exceeds its budget: a bug, please report it
`-- Cancelled                 the caller cancelled

RecipeError is also a ValueError, so that `except ValueError` catches it.
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
    """Base of every error below; each message is one line with a way to fix it."""


class PhotoError(AntiI2VError):
    """The photo cannot be read, or is of a kind that is refused."""


class OutputError(AntiI2VError):
    """The result cannot be written at the requested path or in the requested format."""


class RecipeError(AntiI2VError, ValueError):
    """An unknown recipe or preset, or a setting out of its range."""


class SurrogateError(AntiI2VError):
    """A surrogate, its weights or the package that reads them is missing or unfit."""


class BudgetError(AntiI2VError):
    """A protected photo exceeds its budget; it is not saved."""


class Cancelled(AntiI2VError):
    """The caller cancelled the protection."""
