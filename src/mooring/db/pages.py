"""A page of what belongs to somebody: of rows that one index holds by whose they are and by their ids.

Written with `=` and `ORDER BY id`, the planner may as well walk the primary key from its end, past everybody else's
rows, until the page is full: for whoever has not added anything for long that is the whole table. Or it sorts all that
somebody has. Here only the one index gives the order, whatever is known of the tables: the rows are those of a range,
few of them are wanted, and what else is asked of each is not for the planner to weigh. And the plan is the same for
every page, so that none is planned anew."""

LARGEST_PAGE = 1000


def newest_first(select: str, owner: str, id_: str, *, only: str = "true") -> str:
    """`select … from …` with the rest: $1 is whose, $2 the id before which the page begins or NULL, $3 how many. `only`
    is asked of each row."""
    return f"""SELECT * FROM (
        {select}
        WHERE CASE WHEN {only} THEN true END AND {owner} >= $1
            AND ({owner}, {id_}) < ($1, coalesce($2::bigint, {2**63 - 1}))
        ORDER BY {owner} DESC, {id_} DESC LIMIT {LARGEST_PAGE}) page
    LIMIT (SELECT $3::bigint)"""


def oldest_first(select: str, owner: str, id_: str, *, only: str = "true") -> str:
    """The same the other way round: $2 is the id after which the page begins."""
    return f"""SELECT * FROM (
        {select}
        WHERE CASE WHEN {only} THEN true END AND {owner} <= $1
            AND ({owner}, {id_}) > ($1, coalesce($2::bigint, 0))
        ORDER BY {owner}, {id_} LIMIT {LARGEST_PAGE}) page
    LIMIT (SELECT $3::bigint)"""
