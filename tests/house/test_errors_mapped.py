"""Everything that can go wrong has a status, a code of its own, and a sentence."""

import inspect
import re
from http import HTTPStatus

import mooring.cli  # noqa: F401  and with it everything else
from mooring import errors
from mooring.errors import MooringError
from mooring.web.errors import STATUS, error_of


def kinds() -> set[type[MooringError]]:
    """Every class of errors.py but the one that only names them all."""
    found = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, MooringError)}
    return found - {MooringError}


def unmapped(classes: set[type[MooringError]]) -> set[str]:
    return {one.__name__ for one in classes if one not in STATUS}


def test_every_error_has_a_row() -> None:
    assert unmapped(kinds()) == set()
    assert set(STATUS) == kinds(), "a row for what can't happen"


def test_an_error_without_a_row_is_noticed() -> None:
    class Forgotten(MooringError):
        pass

    assert unmapped({Forgotten}) == {"Forgotten"}


def test_all_errors_live_in_one_file() -> None:
    """Also those that other modules define are on the one screen."""

    def below(kind: type[MooringError]) -> set[type[MooringError]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    elsewhere = {
        one
        for one in below(MooringError)
        if one.__module__.startswith("mooring.") and one.__module__ != "mooring.errors"
    }
    assert elsewhere == set()


def test_codes_are_unique_and_read_like_codes() -> None:
    codes = [code for _, code in STATUS.values()]
    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code)] == []


def test_every_status_is_a_refusal() -> None:
    assert [status for status, _ in STATUS.values() if HTTPStatus(status) < 400] == []


def test_only_what_we_lean_on_is_our_fault() -> None:
    ours = {kind.__name__ for kind, (status, _) in STATUS.items() if status >= 500}
    assert ours == {"StorageUnavailable", "DatabaseUnavailable", "SiblingsNotHeard", "SetupProblem"}


def test_a_more_special_error_goes_by_the_nearest_row() -> None:
    class GoneFishing(errors.StorageUnavailable):
        pass

    assert error_of(GoneFishing("x")) == (500, "STORAGE_UNAVAILABLE")
