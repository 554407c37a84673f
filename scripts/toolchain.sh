# What scripts/build and the tests of other machines' binaries compile with; sourced after common.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034 # much of it is for the callers
# It uses and sets variables of its callers: `options` of cargo, `flags` of rustc, `arch`, `small`.

# ARCH, Rust target, zig's name for it and for its least CPU, opt-level (Cargo.toml's, or "z" where space is short), and
# features beside the target's own.
targets() {
    cat <<'TABLE'
x86_64   x86_64-unknown-linux-musl       x86_64-linux-musl       baseline      s  -
i686     i686-unknown-linux-musl         x86-linux-musl          pentium4      s  -
aarch64  aarch64-unknown-linux-musl      aarch64-linux-musl      baseline      s  -
armv7    armv7-unknown-linux-musleabihf  arm-linux-musleabihf    baseline      z  +thumb-mode
armv6    arm-unknown-linux-musleabihf    arm-linux-musleabihf    arm1176jzf_s  z  -
riscv64  riscv64gc-unknown-linux-musl    riscv64-linux-musl      baseline      s  +crt-static
TABLE
}

# Sets `arch` and the fields of its line.
choose_target() {
    arch=$1
    read -r _ target zig_target cpu level features < <(targets | awk -v arch="$arch" '$1 == arch') ||
        fail "no architecture '$arch'; there are: $(targets | awk '{ printf "%s ", $1 }')"
}

# How to run what this machine cannot. The CPU is the least that the binary is for: qemu's default would run
# ARMv7's instructions for a Raspberry Pi Zero too.
emulator() {
    case $1 in
        x86_64) echo qemu-x86_64-static -cpu Opteron_G1 ;;
        i686) echo qemu-i386-static -cpu coreduo ;;
        aarch64) echo qemu-aarch64-static -cpu cortex-a53 ;;
        armv7) echo qemu-arm-static -cpu cortex-a7 ;;
        armv6) echo qemu-arm-static -cpu arm1176 ;;
        riscv64) echo qemu-riscv64-static ;;
    esac
}

# ring's C: `-Os`, which opt-level "s" asks for, makes calls of the few instructions that curve25519's field arithmetic
# consists of. `-O1` costs 5 KB and takes a fifth off a handshake; `-O2` 35 KB for no more. The tables for unwinding would
# keep an unwinder.
c_flags="-O1 -fno-unwind-tables -fno-asynchronous-unwind-tables"

# For LLVM's linker. ring's table for P-256 on x86_64 is aligned to a page: where it comes first, the strings before it do not
# grow by pages.
linker_options=(--icf=all --pack-dyn-relocs=relr --symbol-ordering-file=scripts/first-symbols.txt --no-warn-symbol-ordering
    --no-eh-frame-hdr -T scripts/no-unwind.ld)

# Adds to `flags` of rustc, and to `last` for the step in which all is compiled (LTO), what makes the chosen machine's binary small.
size_flags() {
    # A panic aborts: nothing unwinds.
    flags+=(-C force-unwind-tables=no)
    # LLVM's bound of what is inlined, between those of opt-level "s" (50) and "z" (5): on x86_64 70 KB less, for 4 % more
    # instructions a request and 0.5 % more of a stream and a handshake (scripts/instructions).
    [ "$level" != s ] || flags+=(-C llvm-args=--inline-threshold=13)
    [ "$features" = - ] || flags+=(-C "target-feature=$features")
    # Makes functions of what the code repeats. A request costs a quarter more (Cargo.toml), so only where there is no
    # other way into the budget. Not for i686, where LLVM takes apart what finds the table of addresses ("expected relocatable
    # expression").
    case $arch${small:-} in
        i686-small) ;;
        armv6 | *-small) last+=(-C llvm-args=-enable-machine-outliner=always) ;;
    esac
}

# CARGO_HOME SYSROOT CHECKOUT RUST: keeps these paths out of the binary, which so is the same wherever it is built. RUST is what the
# sources of the standard library are called where they are not installed.
path_flags() {
    flags+=("--remap-path-prefix=$1/registry/src/=" "--remap-path-prefix=$2/lib/rustlib/src/rust/=$4/" "--remap-path-prefix=$3/=")
}

# The tools of scripts/zig.txt, the libcs that they made, and what zig keeps.
zig_home=$PWD/target/zig

sysroot() { rustc --print sysroot; }

# Whether there is a standard library that was built for the target. A toolchain that did not come from rustup may have
# it as well.
has_std() {
    [ -d "$(sysroot)/lib/rustlib/$1/lib" ] && return
    case $1 in
        # Those that rustup has and that need no libc of zig's.
        x86_64* | i686* | aarch64*) ;;
        *) return 1 ;;
    esac
    has rustup || fail "this Rust toolchain has no target $1, and there is no rustup to add it"
    say "adding the Rust target $1"
    # Another standard library in its place would be another binary.
    rustup target add "$1" || fail "rustup cannot add the target $1"
}

# The standard library is compiled with the agent. The sources are a part of the toolchain; that cargo calls it
# unstable is what RUSTC_BOOTSTRAP is for.
build_std() {
    [ -f "$(sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] || rustup component add rust-src ||
        fail "the standard library's sources are missing: rustup component add rust-src"
    export RUSTC_BOOTSTRAP=1
    options+=("-Zbuild-std=std,panic_abort")
    # Without the default features: no backtrace, which has neither tables nor names to work with.
    options+=("-Zbuild-std-features=${small:+optimize_for_size}")
}

rust_commit() { rustc --version --verbose | sed -n 's/^commit-hash: //p'; }

lld_home() { echo "$(sysroot)/lib/rustlib/$(rustc --version --verbose | sed -n 's/^host: //p')/bin"; }

install_zig() {
    export PATH=$zig_home/bin:$PATH PYTHONPATH=$zig_home CARGO_ZIGBUILD_ZIG_PATH=$zig_home/ziglang/zig
    export CARGO_ZIGBUILD_CACHE_DIR=$zig_home/cache ZIG_GLOBAL_CACHE_DIR=$zig_home/cache ZIG_LOCAL_CACHE_DIR=$zig_home/cache
    cmp -s scripts/zig.txt "$zig_home/installed.txt" && return
    has python3 || install_packages python3 python3-pip || fail "python3 is missing"
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip || fail "pip is missing"
    say "installing zig and cargo-zigbuild (100 MB) in $zig_home"
    rm -rf "$zig_home"
    python3 -m pip install --quiet --require-hashes --only-binary :all: --target "$zig_home" --requirement scripts/zig.txt
    cp scripts/zig.txt "$zig_home/installed.txt"
}

# zig as a C compiler for the machine, and its `ar`, as programs of one word. The crate cc names the target and the architecture
# as clang does; zig knows them by other names.
make_compiler() {
    cat >"$1" <<SCRIPT
#!/bin/sh
for argument; do
    shift
    case \$argument in
        --target=* | -march=*) ;;
        *) set -- "\$@" "\$argument" ;;
    esac
done
exec "$zig_home/ziglang/zig" cc -target $zig_target -mcpu=$cpu "\$@"
SCRIPT
    printf '#!/bin/sh\nexec "%s/ziglang/zig" ar "$@"\n' "$zig_home" >"$zig_home/ar"
    chmod +x "$1" "$zig_home/ar"
}

# musl as zig builds it for the machine, as the parts that rustc asks for: zig says what it would link a program with.
make_libc() {
    local directory=$1 said part
    [ ! -e "$directory/libc.a" ] || return 0
    say "building the C library ($zig_target, $cpu)"
    mkdir -p "$directory"
    echo 'int main(void) { return 0; }' >"$directory/main.c"
    said=$("$zig_home/ziglang/zig" cc -target "$zig_target" "-mcpu=$cpu" -Os -static -fPIE -pie -v -o "$directory/main" "$directory/main.c" 2>&1) ||
        fail "zig: $said"
    for part in rcrt1.o libc.a libzigc.a libcompiler_rt.a; do
        cp "$(grep '^ld.lld' <<<"$said" | tail -n 1 | tr ' ' '\n' | grep "/$part\$")" "$directory/${part/libc.a/libmusl.a}"
    done
    # An unwinder is linked by name; src/sys/unwind.rs stands in for it.
    "$zig_home/ziglang/zig" ar qc "$directory/libunwind.a"
    echo 'GROUP ( libmusl.a libzigc.a libcompiler_rt.a )' >"$directory/libc.a"
}
