"""The house's own source, read as text and as trees, never run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mooring"


@dataclass(frozen=True)
class Source:
    """A Python file, by its path from where it is counted."""

    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def imports(self) -> set[str]:
        """Full names of what it imports, wherever in the file: `from a.b import c` is `a.b` and `a.b.c`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        return found


def sources(folder: Path = PACKAGE, pattern: str = "**/*.py") -> list[Source]:
    files = sorted(folder.glob(pattern))
    assert files, f"nothing to hold the rule against in {folder}"
    return [Source(file.relative_to(folder).as_posix(), file.read_text()) for file in files]


def texts(tree: ast.AST) -> Iterator[str]:
    """Every piece of text in it that is no docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def table(page: Path, first: str) -> list[list[str]]:
    """The rows of every table on a page whose head begins with `first`, cell by cell."""
    rows: list[list[str]] = []
    inside = False
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.replace(r"\|", "\0").strip().strip("|").split("|")]
        cells = [cell.replace("\0", "|") for cell in cells]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(line) <= set("|-: "):
            rows.append(cells)
    return rows
