"""A route declares, calls one method, shapes the answer."""

import ast
import re

import pytest

from house.reading import PACKAGE, Source, sources, texts

MOST_STATEMENTS = 6  # of the function itself
MOST_WITH_INNER = 8  # together with those of the functions it holds: what an Idempotency-Key makes happen once
VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "api_route", "websocket"}
SQL = re.compile(r"\b(SELECT\s|INSERT\s+INTO\b|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\b)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def routes(source: Source) -> list[Function]:
    return [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and any(_is_route(mark) for mark in node.decorator_list)
    ]


def _is_route(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr in VERBS


def faults(route: Function) -> list[str]:
    body = route.body[1:] if ast.get_docstring(route) is not None else route.body
    inside = [node for part in body for node in ast.walk(part)]
    found = []
    if len(body) > MOST_STATEMENTS or sum(isinstance(node, ast.stmt) for node in inside) > MOST_WITH_INNER:
        found.append("too long")
    if any(isinstance(node, ast.Try | ast.TryStar) for node in inside):
        found.append("try")
    if any(isinstance(node, ast.Name | ast.Attribute) and _name(node) == "HTTPException" for node in inside):
        found.append("HTTPException")
    if any(SQL.search(text) for part in body for text in texts(part)):
        found.append("SQL")
    return found


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def test_every_route_is_thin() -> None:
    found = {
        f"{source.name}:{route.name}": faults(route) for source in sources(PACKAGE / "web") for route in routes(source)
    }
    assert len(found) >= 20, "the routes are no longer recognised"
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_no_sql_in_the_web() -> None:
    assert [one.name for one in sources(PACKAGE / "web") if any(SQL.search(text) for text in texts(one.tree))] == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("; ".join(f"x{number} = 1" for number in range(7)), "too long"),
        ("\n    async def inner():\n        " + "; ".join(f"x{number} = 1" for number in range(8)), "too long"),
        ("\n    try:\n        pass\n    finally:\n        pass", "try"),
        ("raise HTTPException(404)", "HTTPException"),
        ("raise starlette.exceptions.HTTPException(404)", "HTTPException"),
        ("await db.fetch('SELECT 1')", "SQL"),
        ("await db.fetch(f'UPDATE uploads SET {x}')", "SQL"),
    ],
)
@pytest.mark.parametrize("mark", ["router.get('/x')", "hot.post('/x', body=A, answer=B)"])
def test_a_fat_route_is_noticed(mark: str, body: str, fault: str) -> None:
    [route] = routes(Source("web/x.py", f"@{mark}\nasync def route(request):\n    {body.lstrip()}"))
    assert faults(route) == [fault]
