"""An upload's state is written by one statement, and the database knows the same states."""

import re

import pytest

from house.reading import PACKAGE, ROOT, Source, sources
from mooring.uploads.lifecycle import ADVANCE, State

# From SET to where the assignments end. In SQL, so in capitals.
ASSIGNMENTS = re.compile(r"\bSET\b(?!\s+LOCAL)(.*?)(?:\bWHERE\b|\bFROM\b|\bRETURNING\b|\"\"\"|\Z)", re.DOTALL)
INSERTED = re.compile(r"INSERT\s+INTO\s+uploads\s*(?:AS\s+\w+\s*)?\(([^)]*)\)", re.IGNORECASE)


def writes_state(text: str) -> int:
    assigned = sum("processing_status" in found for found in ASSIGNMENTS.findall(text))
    return assigned + sum("processing_status" in found for found in INSERTED.findall(text))


def test_advance_is_the_only_writer_of_a_state() -> None:
    writers = {source.name: writes_state(source.text) for source in sources() if writes_state(source.text)}
    assert writers == {"uploads/lifecycle.py": 1}
    assert writes_state(ADVANCE) == 1


def test_no_trigger_of_the_database_writes_one_either() -> None:
    for migration in sorted((PACKAGE / "db" / "migrations").glob("*.sql")):
        assert writes_state(migration.read_text()) == 0, migration.name


def test_uploads_are_born_pending() -> None:
    """Whoever inserts one leaves its state to the column's default."""
    born = [found for source in sources() for found in INSERTED.findall(source.text)]
    assert born, "the statement that issues is no longer recognised"
    [schema] = (PACKAGE / "db" / "migrations").glob("0001_*.sql")
    assert "processing_status        text NOT NULL DEFAULT 'PENDING'" in schema.read_text()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE uploads SET processing_status = 'UPLOADED' WHERE id = $1",
        "UPDATE uploads u\n   SET etag = $2,\n       processing_status = $1\nFROM x WHERE true",
        "UPDATE uploads SET (etag, processing_status) = ($1, $2)",
        "ON CONFLICT (id) DO UPDATE SET processing_status = excluded.processing_status",
        "INSERT INTO uploads (uuid, processing_status) VALUES ($1, 'COMPLETED')",
    ],
)
def test_another_writer_is_noticed(sql: str) -> None:
    assert writes_state(Source("uploads/queries.py", f'X = """{sql}"""').text) == 1


def test_a_reader_is_no_writer() -> None:
    assert writes_state("UPDATE uploads SET etag = $1 WHERE processing_status = 'PENDING'") == 0


def test_code_and_database_know_the_same_states() -> None:
    schema = (ROOT / "src/mooring/db/migrations/0001_ground.sql").read_text()
    listed = re.search(r"known_state CHECK \(processing_status IN\s*\(([^)]*)\)", schema)
    assert listed
    assert set(re.findall(r"'(\w+)'", listed[1])) == set(State)
