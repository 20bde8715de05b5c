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

if [ $# -gt 0 ]; then
    say "Testing"
    swift test --skip-build "${checks[@]}" "$@" || fail "tests failed; look for lines that start with ✘ above"
    exit
fi

# One group after the other: what measures time must not share two cores with what burns them. Tests of a group run side by side, those of
# timers and sockets one by one. The last group is whatever the others do not name, so that nothing is left out.
pure='LinkspanWireTests|LinkspanCoreTests|LinkspanAuthTests|LinkspanConfigTests|LinkspanBridgeTestingTests'
timed='LinkspanServerTests|LinkspanClientTests|LinkspanCommandTests|LinkspanBenchTests|CountTests|ProtocolChecksTests|TestSupportTests'
failed=()
log=$(mktemp)
trap 'rm -f "$log" "$log.failures"' EXIT
group() {
    local name=$1
    shift
    say "Testing: $name"
    swift test --skip-build "${checks[@]}" "$@" 2>&1 | tee "$log" && return
    failed+=("$name")
    { echo "$name:"; grep -E '✘|error: |Fatal error|Thread .* crashed' "$log" || tail -n 20 "$log"; } >> "$log.failures"
}
group "values" --filter "$pure"
group "sockets and timers" --no-parallel --filter "$timed"
group "the MQTT bridge" --filter LinkspanMQTTTests
group "the Redis bridge" --filter LinkspanRedisTests
group "the AMQP bridge" --filter LinkspanAMQPTests
group "the rest, instances with brokers between them above all" \
    --skip "$pure|$timed|LinkspanMQTTTests|LinkspanRedisTests|LinkspanAMQPTests"
[ ${#failed[@]} -eq 0 ] && exit
# Long logs are cut short at their beginning, so what failed is said once more at the end.
say "What failed"
cut -c 1-600 "$log.failures"
fail "tests failed in: $(IFS=,; echo "${failed[*]}")"
