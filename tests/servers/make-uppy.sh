#!/bin/sh
# Makes .uppy: Uppy as npm has it, version 5 and version 6, each bundled into the page that the tests open. May be run
# again at any time.
set -eu
cd "$(dirname "$0")/../.."
for version in v5 v6; do
    from=tests/servers/uppy to=.uppy/$version
    if ! cmp -s "$from/$version/package-lock.json" "$to/.made-of"; then
        rm -rf "$to"
        mkdir -p "$to"
        cp "$from/$version/package.json" "$from/$version/package-lock.json" "$to"
        (cd "$to" && npm_config_omit_lockfile_registry_resolved=true npm ci --silent --no-audit --no-fund)
        cp "$from/$version/package-lock.json" "$to/.made-of"
    fi
    if ! cmp -s "$from/page.js" "$to/.bundled"; then
        cp "$from/page.js" "$to/page.js" # beside the packages that it imports
        (cd "$to" && node_modules/.bin/esbuild page.js --bundle --format=iife --log-level=warning --outfile=bundle.js)
        cp "$from/page.js" "$to/.bundled"
    fi
done
