#!/bin/bash
# test.sh [swift test options]: installs what is missing, builds without a warning, and runs every test.
# The tests start real mosquitto, redis-server and rabbitmq-server on free loopback ports by themselves.
set -euo pipefail
. "$(dirname "$0")/common.sh"

have_swift
Scripts/install.sh test

# Both generations of a stock client, each in a virtual environment of its own.
for generation in v1 v2; do
    wanted=Tests/IntegrationTests/Clients/requirements-$generation.txt
    folder=.venv/$generation
    cmp -s "$wanted" "$folder/requirements.txt" && continue
    say "Installing the Python client $(head -n 1 "$wanted")"
    rm -rf "$folder"
    python3 -m venv "$folder" || fail "python3 could not make a virtual environment in $folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" ||
        fail "pip could not install the packages of $wanted" "Is this machine offline?"
    cp "$wanted" "$folder/requirements.txt"
done

# A server that is missing now is a failure, not a test to skip.
export CI=true LINKSPAN_TEST_WARNINGS=error
checks=(--explicit-target-dependency-import-check error)

say "Building"
swift build --build-tests "${checks[@]}" || fail "the build failed; the lines above say why"

say "Testing"
swift test --skip-build "${checks[@]}" "$@" || fail "tests failed; look for lines that start with ✘ above"
