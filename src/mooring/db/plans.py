"""What keeps PostgreSQL from planning a hot statement anew at every call.

It does so for as long as a plan for the values at hand looks cheaper than the one for any: with a list of ids that is
always, since it then knows how many there are. For statements of a dozen parts that takes as long as running them."""


def unseen(type_: str) -> str:
    """The first parameter, a list, as the planner can't see it."""
    return f"(SELECT $1::{type_}[])::{type_}[]"
