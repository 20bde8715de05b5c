#!/bin/bash
# install.sh [run|test|only PACKAGE...]: installs the Debian packages that are missing, and only those.
#   run   what building and running needs, with mosquitto as the default broker
#   test  also the other brokers and the tools of the tests
#   only  these
# No service is started: a broker on its default port is the business of whoever runs this machine.
set -euo pipefail
. "$(dirname "$0")/common.sh"

packages=(libmosquitto-dev libhiredis-dev librabbitmq-dev zlib1g-dev liburing-dev pkg-config mosquitto mosquitto-clients)
services=(mosquitto)
case ${1:-run} in
    run) ;;
    test)
        packages+=(redis-server redis-tools rabbitmq-server amqp-tools openssl curl binutils valgrind)
        services+=(redis-server rabbitmq-server)
        # Where Python came from elsewhere it may bring venv and pip itself.
        python3 -c 'import venv, ensurepip' 2> /dev/null || packages+=(python3 python3-venv)
        ;;
    only) packages=("${@:2}") services=("${@:2}") ;;
    *) fail "usage: Scripts/install.sh [run|test|only PACKAGE...]" ;;
esac

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null || true)
    [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

say "Installing ${missing[*]}"
command -v apt-get > /dev/null || fail "this machine has no apt-get; Linkspan is developed on Debian 12" \
    "Install what corresponds to these packages: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || fail "installing needs root, and there is no sudo" \
        "Run as root: apt-get install -y --no-install-recommends ${missing[*]}"
    sudo -n true 2> /dev/null || [ -t 0 ] || fail "installing needs root, and sudo would ask for a password" \
        "Run as root: apt-get install -y --no-install-recommends ${missing[*]}"
    as_root=(sudo)
fi

# invoke-rc.d(8) asks this file before a package starts its service.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy > /dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi

log=$(mktemp)
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" >> "$log" 2>&1; }
if ! apt install -y --no-install-recommends "${missing[@]}"; then
    # Most often the lists are old or were never fetched.
    apt update || fail "apt-get update failed; is this machine offline?" "$(tail -n 5 "$log")"
    apt install -y --no-install-recommends "${missing[@]}" ||
        fail "apt-get could not install ${missing[*]}; is this machine offline?" "$(tail -n 15 "$log")"
fi
rm -f "$log"

# Installing also enables a service for the next boot. Undo that for what this script brought.
if command -v systemctl > /dev/null; then
    for service in "${services[@]}"; do
        for package in "${missing[@]}"; do
            [ "$package" = "$service" ] || continue
            "${as_root[@]}" systemctl disable --quiet "$service" 2> /dev/null || true
        done
    done
fi
