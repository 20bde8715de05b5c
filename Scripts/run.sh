#!/bin/bash
# run.sh [serve options]: installs what is missing, builds in release mode, and serves with bridges.yaml.
# Starts a mosquitto on loopback when nothing listens on its port, and stops that one again at the end.
set -euo pipefail
. "$(dirname "$0")/common.sh"

have_swift
Scripts/install.sh run

say "Building (the first time takes several minutes)"
swift build -c release --product linkspan || fail "the build failed; the lines above say why"
program=.build/release/linkspan

mosquitto_port=1883
mosquitto=
stop_mosquitto() {
    [ -n "$mosquitto" ] || return 0
    kill "$mosquitto" 2> /dev/null || true
    wait "$mosquitto" 2> /dev/null || true
}
if ! listens $mosquitto_port; then
    say "Starting mosquitto on 127.0.0.1:$mosquitto_port (nothing listened there)"
    mkdir -p .brokers
    printf '%s\n' "listener $mosquitto_port 127.0.0.1" "allow_anonymous true" "log_dest stderr" > .brokers/mosquitto.conf
    # Started as root it would become a user that may not read this folder.
    if [ "$(id -u)" = 0 ]; then echo "user root" >> .brokers/mosquitto.conf; fi
    PATH=$PATH:/usr/sbin
    # A session of its own, so that Ctrl-C reaches Linkspan alone, which then takes leave of its upstream in order.
    setsid mosquitto -c .brokers/mosquitto.conf > .brokers/mosquitto.log 2>&1 &
    mosquitto=$!
    trap stop_mosquitto EXIT
    for _ in $(seq 100); do
        listens $mosquitto_port && break
        kill -0 "$mosquitto" 2> /dev/null || fail "mosquitto did not start" "$(tail -n 5 .brokers/mosquitto.log)"
        sleep 0.05
    done
fi

say "Serving with bridges.yaml; Ctrl-C stops"
say "Examples/browser.html, opened in a browser, is a client too"
"$program" serve --config bridges.yaml --hints "$@" &
server=$!
trap 'kill -TERM $server 2> /dev/null' INT TERM HUP
status=0
wait $server || status=$?
# A trapped signal ends the first wait early; the server's own end is what counts.
while kill -0 $server 2> /dev/null; do
    status=0
    wait $server || status=$?
done
exit $status
