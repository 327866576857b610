#!/bin/sh
# Runs the tests: all of them on the embedded PostgreSQL 18, then those that use the database once more on 15.
# With the word e2e: real processes and storage once more, with Ceph. `make test` and `make e2e` call this.
# With CI set nothing may be left out.
set -eu
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}
what=${1:-all}
is_ci=${CI:+yes}
case $what in
    all) packages='postgresql-15 redis-server nginx-light libnginx-mod-http-js chromium prometheus prometheus-alertmanager
                   prometheus-node-exporter rabbitmq-server nats-server' ;;
    e2e) packages='nginx-light libnginx-mod-http-js chromium prometheus prometheus-alertmanager radosgw ceph-mon ceph-osd' ;;
    *) echo "usage: sh tests/run.sh [e2e]" >&2; exit 2 ;;
esac
command -v npm >/dev/null || packages="$packages nodejs npm" # other people's clients; not every npm is Debian's

left_out() {
    echo "Left out: $1" >&2
    if [ "$is_ci" ]; then echo "CI is set, and then nothing may be left out." >&2; exit 1; fi
}

lacking() {
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

quietly() {
    said=$("$@" 2>&1) || { echo "$said" | tail -n 20 >&2; return 1; }
}

install_packages() {
    command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || return 0
    needed=$(lacking)
    [ "$needed" ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    echo "Installing $needed" >&2
    quietly apt-get update -q || return 0
    # shellcheck disable=SC2086  # these are words
    quietly apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 $needed || return 0
}

install_packages
get="As root: apt-get install --no-install-recommends $packages"
PYTHON=$bin/python sh tests/servers/make-swift.sh || left_out "what needs Swift; sh tests/servers/make-swift.sh gets it."
sh tests/servers/make-uppy.sh || left_out "what needs Uppy; sh tests/servers/make-uppy.sh gets it, with node and npm. $get"

if [ "$what" = e2e ]; then
    ceph=--ceph
    for program in radosgw ceph-mon ceph-osd; do
        command -v $program >/dev/null || ceph=
    done
    [ "$ceph" ] || left_out "what needs Ceph. $get"
    exec "$bin/pytest" -q -rs $ceph tests/e2e tests/contract
fi

on_15=yes
[ -x /usr/lib/postgresql/15/bin/postgres ] || on_15=
[ "$on_15" ] || left_out "the second run, on PostgreSQL 15. $get"
# More than there are cores: real servers are waited for.
at_once='-n 3 --dist worksteal'
# shellcheck disable=SC2086  # these are words
"$bin/pytest" -q -rs $at_once
[ "$on_15" ] || exit 0
# The other PostgreSQL is asked whether the SQL is right, and not once more for every order of events and every input.
MOORING_MODEL_SWITCHES=2 MOORING_MODEL_EXAMPLES=30 MOORING_OPENAPI_EXAMPLES=5
export MOORING_MODEL_SWITCHES MOORING_MODEL_EXAMPLES MOORING_OPENAPI_EXAMPLES
# shellcheck disable=SC2086
exec "$bin/pytest" -q -rs $at_once --postgres=15 tests/flow tests/web tests/model
