# What the scripts share; sourced, not run. Leaves the shell in the repository's root.
# shellcheck shell=bash

# Files that the caller names are looked for where he stands.
for variable in HAVEN_ROOT_CERT HAVEN_ROOT_KEY; do
    [ -z "${!variable:-}" ] || export "$variable=$(realpath -m "${!variable}")"
done
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

say() { printf '%s\n' "== $*" >&2; }

fail() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

can_install() { has apt-get && [ "$(id -u)" = 0 ]; }

# Installs Debian packages where that is possible; says what to install where it is not.
install_packages() {
    can_install || {
        say "not installed: $*; on Debian: apt-get install $*"
        return 1
    }
    say "installing $*"
    if ! apt_install "$@"; then
        # A fresh machine has no package lists, an old one stale ones.
        apt-get update -qq && apt_install "$@"
    fi
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

find_cargo() {
    has cargo || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    has cargo || fail "no cargo: install Rust with rustup (https://rustup.rs), toolchain $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later"
}

# This machine's architecture, as scripts/build names it.
machine() {
    case "$(uname -m)" in
        i?86) echo i686 ;;
        armv7* | armv8l) echo armv7 ;;
        armv6*) echo armv6 ;;
        arm64) echo aarch64 ;;
        *) uname -m ;;
    esac
}

# The tests that start an agent, by name.
agent_tests() {
    local file
    grep -l '^mod support;' tests/*.rs tests/*/main.rs | while read -r file; do basename "${file%/main.rs}" .rs; done
}

# A nightly toolchain with these components, for what stable Rust does not have; fails where rustup cannot install one.
find_nightly() {
    find_cargo
    has rustup || {
        say "no rustup, which a nightly toolchain comes from"
        return 1
    }
    has_nightly "$@" || rustup toolchain install nightly --profile minimal --no-self-update "${@/#/--component=}"
}

has_nightly() {
    local component installed
    installed=$(rustup component list --toolchain nightly --installed 2>/dev/null) || return
    for component in "$@"; do
        grep -q "^$component" <<<"$installed" || return
    done
}
