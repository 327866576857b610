"""What a recipe is given to work on, and how it declines. A recipe is a module of this package with a function
`develop(task)` that writes the task's targets, and answers what each became and what was found out about the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


class Refused(Exception):
    """The file is not one we can work with; the sentence is for its owner."""


@dataclass(frozen=True)
class Task:
    original: Path
    content_type: str  # as declared
    targets: Mapping[str, Path]
    limits: Mapping[str, int]  # the recipe's own
    threads: int
    tell: Callable[[int], None]  # how far it is, in percent
