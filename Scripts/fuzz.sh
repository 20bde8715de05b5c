#!/usr/bin/env bash
# Fuzzes the codec under the address sanitizer: Scripts/fuzz.sh [seconds], a minute unless told otherwise.
# An input that breaks something is left in Tests/LinkspanWireTests/FailCases, where it is a unit test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-60}"
folder=.build-fuzz
tests=Tests/LinkspanWireTests
mkdir -p "$folder/corpus"

options=(-O -parse-as-library -swift-version 6 -enable-upcoming-feature InternalImportsByDefault
    -sanitize=fuzzer,address -use-ld=lld)
swiftc "${options[@]}" -emit-library -static -emit-module -emit-module-path "$folder/LinkspanWire.swiftmodule" \
    -module-name LinkspanWire -o "$folder/libLinkspanWire.a" $(find Sources/LinkspanWire -name '*.swift')
swiftc "${options[@]}" -module-name WireFuzzer -I "$folder" -o "$folder/wire-fuzzer" \
    Tests/Fuzz/WireFuzzer.swift "$tests/WireInvariants.swift" "$tests/FrameFeed.swift" \
    "$folder/libLinkspanWire.a"

# Swift's own crash report would keep libFuzzer from writing the input down.
SWIFT_BACKTRACE=enable=no "$folder/wire-fuzzer" -max_total_time="$seconds" -max_len=4096 -timeout=5 \
    -dict=Tests/Fuzz/json.dict -artifact_prefix="$tests/FailCases/" "$folder/corpus" "$tests/FailCases"
