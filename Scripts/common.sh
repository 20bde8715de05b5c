# Shared by the scripts beside it; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
if [ ! -t 1 ]; then say() { printf '==> %s\n' "$*"; }; fi

# fail MESSAGE [HINT...]: says what failed and what to do about it, and ends the script.
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf '    %s\n' "$hint" >&2; done
    exit 1
}

# have_swift: Swift itself cannot come from Debian's archive, so its absence is explained instead of mended.
have_swift() {
    command -v swift > /dev/null || fail "Swift is not installed (no 'swift' in PATH)" \
        "Install Swift 6.2 or newer for Debian 12 from https://www.swift.org/install/linux/ and run this again."
    local version
    version=$(swift --version 2> /dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || fail "'swift --version' did not name a version" "Is the installation of Swift complete?"
    case $version in
        [0-5].* | 6.0 | 6.1) fail "Swift $version is too old; 6.2 or newer is needed" \
            "See https://www.swift.org/install/linux/" ;;
    esac
}

# listens PORT: whether something accepts connections on 127.0.0.1.
listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
