#!/bin/sh
# Set up what the bench needs and run it. `sh bench/run.sh [SECTION ...] [options]`; see bench/README.md.
set -eu
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
WORK=.bench

need() { # need PROGRAM DEBIAN-PACKAGE
    if command -v "$1" >/dev/null; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $2"
        apt-get install -qq -y -o DPkg::Lock::Timeout=300 "$2" >/dev/null && return
        apt-get update -qq && apt-get install -qq -y -o DPkg::Lock::Timeout=300 "$2" >/dev/null && return
    fi
    echo "The bench needs $1. Install it: on Debian, 'apt-get install $2' as root." >&2
    exit 2
}

venv() { # venv FOLDER LOCK: made anew when the lock changes
    if cmp -s "$2" "$1/installed.lock"; then return; fi
    echo "installing $2"
    rm -rf "$1"
    "$BIN/python" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$2"
    cp "$2" "$1/installed.lock"
}

node_modules() { # node_modules FOLDER PEER
    if cmp -s "$2/package-lock.json" "$1/installed.json"; then return; fi
    echo "installing $2/package-lock.json"
    rm -rf "$1"
    mkdir -p "$1"
    cp "$2/package.json" "$2/package-lock.json" "$1"
    (cd "$1" && npm_config_omit_lockfile_registry_resolved=true npm ci --silent --no-audit --no-fund)
    cp "$2/package-lock.json" "$1/installed.json"
}

mkdir -p "$WORK"
need wrk wrk
need taskset util-linux
venv "$WORK/venv" bench/requirements.lock
need nginx nginx-light
need ffmpeg ffmpeg
case " $* " in *" peers "*)
    need node nodejs
    need npm npm
    venv "$WORK/django" bench/peers/django/requirements.lock
    node_modules "$WORK/companion" bench/peers/companion
    ;;
esac
exec "$BIN/python" bench/main.py "$@"
