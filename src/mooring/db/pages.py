"""A page of what belongs to somebody: of rows that one index holds by whose they are and by their ids.

Written with `=` and `ORDER BY id`, the planner may as well walk the primary key from its end, past everybody else's
rows, until the page is full: for whoever has not added anything for long that is the whole table. Or it sorts all that
somebody has. Written as two ends of a range, the rows look many and only the one index gives the order. And the plan is
the same for every page: no list is planned anew at each call."""


def newest_first(owner: str, id_: str) -> str:
    """The end of a statement: $1 whose, $2 the id before which the page begins or NULL, $3 how many."""
    return f"""({owner}, {id_}) < ($1, coalesce($2::bigint, {2**63 - 1})) AND {owner} >= $1
        ORDER BY {owner} DESC, {id_} DESC LIMIT (SELECT $3::bigint)"""


def oldest_first(owner: str, id_: str) -> str:
    """The same the other way round: $2 is the id after which the page begins."""
    return f"""({owner}, {id_}) > ($1, coalesce($2::bigint, 0)) AND {owner} <= $1
        ORDER BY {owner}, {id_} LIMIT (SELECT $3::bigint)"""
