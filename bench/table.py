"""The table of the bench: what was measured, the budget, and whether it is met."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    what: str
    figure: str
    budget: str
    met: bool
    gated: bool = True  # else only shown: no budget of ours, or one the machine's noise decides

    @property
    def verdict(self) -> str:
        if not self.budget:
            return ""
        return ("met" if self.met else "MISSED") + ("" if self.gated else ", as seen")


def at_least(what: str, times: float, budget: float, details: str) -> Line:
    return Line(what, f"**{times:.2f} ×** ({details})", f"≥ {budget:g} ×", times >= budget)


def at_most(what: str, figure: float, budget: float, unit: str, details: str = "", *, gated: bool = True) -> Line:
    shown = f"**{figure:.3g} {unit}**" + (f" ({details})" if details else "")
    return Line(what, shown, f"≤ {budget:g} {unit}", figure <= budget, gated)


def shown(what: str, figure: str) -> Line:
    return Line(what, figure, "", True, gated=False)


def markdown(lines: Sequence[Line]) -> str:
    head = "| what | measured | budget | |\n|---|---|---|---|\n"
    return head + "".join(f"| {one.what} | {one.figure} | {one.budget} | {one.verdict} |\n" for one in lines)


def write_between_marks(page: Path, name: str, lines: Sequence[Line], said: str) -> None:
    """Put the table into the page, between its marks."""
    begin, end = f"<!-- {name}: written by --write -->\n", f"<!-- end of {name} -->\n"
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + f"{said}\n\n" + markdown(lines) + end + rest.split(end)[1])


def missed(lines: Sequence[Line]) -> list[Line]:
    return [one for one in lines if one.gated and not one.met]
