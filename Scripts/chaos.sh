#!/bin/bash
# chaos.sh [words]: lets brokers, links and instances fail in every way, and writes docs/chaos.md. With words, only what they name is tried (such as
# "mosquitto" or "broker killed"), and nothing is written but to the screen. With CHAOS_RING links of a ring are cut for so many seconds instead.
set -euo pipefail
. "$(dirname "$0")/common.sh"

if [ -n "${CHAOS_RING:-}" ]; then
    exec Scripts/test.sh --filter RingTests
fi

report=$PWD/docs/chaos.md
if [ -n "${1:-}" ]; then
    report=$(mktemp)
    trap 'cat "$report"; rm -f "$report"' EXIT
fi
[ "$(id -u)" = 0 ] || say "Not root: full disks and firewall rules will be left out"
for program in iptables faketime; do
    Scripts/install.sh only "$program" || say "No $program here: what needs it is left out"
done
CHAOS_REPORT=$report CHAOS_ONLY=${1:-} Scripts/test.sh --filter AllFaultsTests
