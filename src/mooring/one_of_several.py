"""A server process that another one started: `python -m mooring.one_of_several`, as `several` calls it."""

import json
import socket
import sys
from typing import Any

import typer

from mooring.server import serve_on
from mooring.settings import Settings
from mooring.terminal import explained


def main(told: dict[str, Any]) -> None:
    listening, end = socket.socket(fileno=told["listening"]), socket.socket(fileno=told["channel"])
    for one in (listening, end):
        one.set_inheritable(False)  # the database that this process may start outlives it
    with listening, end:
        serve_on(listening, Settings(**told["settings"]), siblings=end)


if __name__ == "__main__":
    try:
        with explained():
            main(json.loads(sys.argv[1]))
    except typer.Exit as told:
        sys.exit(told.exit_code)
