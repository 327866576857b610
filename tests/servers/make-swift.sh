#!/bin/sh
# Makes .venv-swift: OpenStack Swift, in a venv of its own since its requirements are not ours. May be run again at any time.
set -eu
cd "$(dirname "$0")/../.."
lock=tests/servers/swift.lock
stamp=.venv-swift/.made-of
if [ -f "$stamp" ] && cmp -s "$lock" "$stamp"; then exit 0; fi
[ -x .venv-swift/bin/python ] || "${PYTHON:-python3}" -m venv .venv-swift
.venv-swift/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
cp "$lock" "$stamp"
