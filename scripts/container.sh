# A machine of its own for a test: a Debian made by debootstrap, as a container of the real Docker; sourced after common.sh.
# shellcheck shell=bash
# One line a check; `failures` counts those that failed.

name=haven-test-$(basename "$0")-$$
# For what is bound to happen, in seconds.
patience=60
trees=$PWD/${CARGO_TARGET_DIR:-target}/debian
failures=0

skip() {
    printf '%s\n' "SKIPPED: ${0#./} ($*)"
    exit 0
}

# In a shell of its own, which ends with the first command that fails; this one goes on.
check() {
    local what=$1 said status
    shift
    set +e
    said=$(set -e; "$@" 2>&1)
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        printf 'ok   %s%s\n' "$what" "${said:+: ${said##*$'\n'}}"
    else
        printf 'FAIL %s\n%s\n' "$what" "$said"
        failures=$((failures + 1))
    fi
}

not() {
    if "$@"; then
        printf '%s\n' "should fail: $*"
        return 1
    fi
}

inside() { docker exec -i "$name" "$@"; }

eventually() {
    local end=$((SECONDS + patience))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { printf '%s\n' "not within $patience s: $*"; return 1; }
        sleep 0.2
    done
}

# What every such test needs; builds the binary where none is named.
needs_a_container() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    docker version >/dev/null 2>&1 || skip "no Docker engine answers"
    has debootstrap || install_packages debootstrap || skip "no debootstrap"
    [ -n "${HAVEN_TEST_BINARY:-}" ] || scripts/build
}

# SUITE PACKAGES: imports the image $name with them, made once.
import_debian() {
    local suite=$1 packages=$2 tree
    tree=$trees/$suite-$(sha256sum <<<"$packages" | head -c 8)
    if [ ! -e "$tree.tar" ]; then
        say "making a Debian $suite with $packages in $tree.tar, once"
        rm -rf "$tree"
        mkdir -p "$tree"
        debootstrap --variant=minbase --include="$packages" "$suite" "$tree" >"$tree.log" 2>&1 ||
            skip "debootstrap failed, see $tree.log"
        rm -rf "$tree"/var/cache/apt/archives/*.deb
        tar -C "$tree" -cf "$tree.tar.new" .
        mv "$tree.tar.new" "$tree.tar"
        rm -rf "$tree"
    fi
    docker import "$tree.tar" "$name" >/dev/null
}

# With Docker's socket as /host/docker.sock, and its group, as anywhere.
docker_directory() { dirname "$(readlink -f /var/run/docker.sock)"; }
make_docker_group() { inside groupadd --system --gid "$(stat -c %g "$(readlink -f /var/run/docker.sock)")" docker; }

copy_agent() { docker cp "${HAVEN_TEST_BINARY:-dist/haven-agent-$(machine)}" "$name:/root/haven-agent" >/dev/null; }

remove_container() {
    docker rm -f -v "$name" >/dev/null 2>&1 || true
    docker rmi -f "$name" >/dev/null 2>&1 || true
}
