#!/bin/bash
# bench.sh [compare options]: installs servers to compare with, builds in release mode, compares, and writes docs/benchmarks.md.
# A server that cannot be had is named as missing in the page. With --short or chosen rows the page stays as it is.
set -euo pipefail
. "$(dirname "$0")/common.sh"

have_swift
Scripts/install.sh run
Scripts/install.sh only valgrind binutils || say "Counting no instructions without valgrind"
for server in redis-server rabbitmq-server nats-server "nginx libnginx-mod-nchan"; do
    # shellcheck disable=SC2086  # several packages
    Scripts/install.sh only $server || say "Comparing without $server"
done

say "Building (the first time takes several minutes)"
swift build -c release --product linkspan || fail "the build failed; the lines above say why"
swift build -c release --product linkspan-bench || fail "the build failed; the lines above say why"

ulimit -n "$(ulimit -H -n)"
page=(--page docs/benchmarks.md --command "make bench")
for option in "$@"; do
    case $option in --short | --rows* | --no-peers) page=() ;; esac
done
say "Comparing; figures mean something only when nothing else runs"
.build/release/linkspan-bench compare "${page[@]}" "$@" || fail "the comparison is not clean; the lines above say where"
[ ${#page[@]} -eq 0 ] || say "Wrote docs/benchmarks.md"
