//! `memcpy(3)`, `memmove(3)` and `memset(3)` of static x86_64 binaries.
//!
//! musl's are `rep movsq` between two loops of single bytes (`rep stosq` above 126) and take thirty
//! to forty cycles before the first byte is copied: with all the small structures that compilers
//! move about that was a tenth of the CPU of a request and of a handshake. These copy up to 64 bytes
//! with at most eight moves that may overlap each other, and more in a loop of 64 bytes.
//!
//! The linker finds them before it searches musl's archive. Elsewhere the C library's own are good.

/// `$copy`, `$move` and `$set` are the symbols. Arguments and what may be clobbered are the System V
/// ABI's: rdi is the destination, rsi the source or the byte, rdx the count; the destination is
/// returned.
#[cfg(all(target_arch = "x86_64", any(target_env = "musl", test)))]
macro_rules! define {
    ($copy:literal, $move:literal, $set:literal) => {
        std::arch::global_asm!(
            ".pushsection .text.copy, \"ax\", @progbits",
            concat!(".globl ", $copy, ", ", $move, ", ", $set),
            concat!(".type ", $copy, ", @function"),
            concat!(".type ", $set, ", @function"),
            concat!(".type ", $move, ", @function"),
            ".p2align 4",
            concat!($move, ":"),
            // All loads come before all stores up to 64 bytes, and ahead of them in what goes
            // upwards: only a destination that begins inside the source is to be filled downwards.
            "    mov rax, rdi",
            "    mov rcx, rdi",
            "    sub rcx, rsi",
            "    cmp rcx, rdx",
            concat!("    jae ", $copy),
            "    cmp rdx, 64",
            concat!("    jbe ", $copy),
            "    movups xmm0, [rsi]",
            "    movups xmm1, [rsi + 16]",
            "    movups xmm2, [rsi + 32]",
            "    movups xmm3, [rsi + 48]",
            "2:  movups xmm4, [rsi + rdx - 64]",
            "    movups xmm5, [rsi + rdx - 48]",
            "    movups xmm6, [rsi + rdx - 32]",
            "    movups xmm7, [rsi + rdx - 16]",
            "    movups [rdi + rdx - 64], xmm4",
            "    movups [rdi + rdx - 48], xmm5",
            "    movups [rdi + rdx - 32], xmm6",
            "    movups [rdi + rdx - 16], xmm7",
            "    sub rdx, 64",
            "    cmp rdx, 64",
            "    ja 2b",
            "    movups [rdi], xmm0",
            "    movups [rdi + 16], xmm1",
            "    movups [rdi + 32], xmm2",
            "    movups [rdi + 48], xmm3",
            "    ret",
            concat!(".size ", $move, ", . - ", $move),
            ".p2align 4",
            concat!($copy, ":"),
            "    mov rax, rdi",
            "    cmp rdx, 16",
            "    jb 20f",
            "    movups xmm0, [rsi]",
            "    movups xmm1, [rsi + rdx - 16]",
            "    cmp rdx, 32",
            "    ja 10f",
            // 16 to 32: the first and the last 16.
            "    movups [rdi], xmm0",
            "    movups [rdi + rdx - 16], xmm1",
            "    ret",
            "10: movups xmm2, [rsi + 16]",
            "    movups xmm3, [rsi + rdx - 32]",
            "    cmp rdx, 64",
            "    ja 11f",
            // 33 to 64: the first and the last 32.
            "    movups [rdi], xmm0",
            "    movups [rdi + 16], xmm2",
            "    movups [rdi + rdx - 32], xmm3",
            "    movups [rdi + rdx - 16], xmm1",
            "    ret",
            // More: blocks of 64, and the last 64, which are loaded before, behind them.
            "11: movups xmm4, [rsi + rdx - 64]",
            "    movups xmm5, [rsi + rdx - 48]",
            "    lea rcx, [rdi + rdx - 64]",
            "12: movups xmm6, [rsi]",
            "    movups xmm7, [rsi + 16]",
            "    movups xmm8, [rsi + 32]",
            "    movups xmm9, [rsi + 48]",
            "    movups [rdi], xmm6",
            "    movups [rdi + 16], xmm7",
            "    movups [rdi + 32], xmm8",
            "    movups [rdi + 48], xmm9",
            "    add rsi, 64",
            "    add rdi, 64",
            "    cmp rdi, rcx",
            "    jb 12b",
            "    movups [rcx], xmm4",
            "    movups [rcx + 16], xmm5",
            "    movups [rcx + 32], xmm3",
            "    movups [rcx + 48], xmm1",
            "    ret",
            // 8 to 15, 4 to 7: the first and the last word.
            "20: cmp edx, 8",
            "    jb 21f",
            "    mov rcx, [rsi]",
            "    mov r8, [rsi + rdx - 8]",
            "    mov [rdi], rcx",
            "    mov [rdi + rdx - 8], r8",
            "    ret",
            "21: cmp edx, 4",
            "    jb 22f",
            "    mov ecx, [rsi]",
            "    mov r8d, [rsi + rdx - 4]",
            "    mov [rdi], ecx",
            "    mov [rdi + rdx - 4], r8d",
            "    ret",
            // 1 to 3: the first byte, the one in the middle, and the last.
            "22: test edx, edx",
            "    jz 23f",
            "    mov ecx, edx",
            "    shr ecx, 1",
            "    movzx r8d, byte ptr [rsi]",
            "    movzx r9d, byte ptr [rsi + rcx]",
            "    movzx r10d, byte ptr [rsi + rdx - 1]",
            "    mov [rdi], r8b",
            "    mov [rdi + rcx], r9b",
            "    mov [rdi + rdx - 1], r10b",
            "23: ret",
            concat!(".size ", $copy, ", . - ", $copy),
            ".p2align 4",
            concat!($set, ":"),
            "    mov rax, rdi",
            "    movzx esi, sil",
            "    mov r8, 0x0101010101010101",
            "    imul r8, rsi",
            "    cmp rdx, 16",
            "    jb 35f",
            "    movq xmm0, r8",
            "    punpcklqdq xmm0, xmm0",
            "    lea rcx, [rdi + rdx - 16]",
            "    cmp rdx, 64",
            "    jb 33f",
            // 64 and more: whole blocks, then as for less.
            "32: movups [rdi], xmm0",
            "    movups [rdi + 16], xmm0",
            "    movups [rdi + 32], xmm0",
            "    movups [rdi + 48], xmm0",
            "    add rdi, 64",
            "    sub rdx, 64",
            "    cmp rdx, 64",
            "    jae 32b",
            // Up to 63: one by one, and the last 16.
            "33: cmp rdi, rcx",
            "    jae 34f",
            "    movups [rdi], xmm0",
            "    add rdi, 16",
            "    jmp 33b",
            "34: movups [rcx], xmm0",
            "    ret",
            // 8 to 15, 4 to 7: the first and the last word.
            "35: cmp edx, 8",
            "    jb 36f",
            "    mov [rdi], r8",
            "    mov [rdi + rdx - 8], r8",
            "    ret",
            "36: cmp edx, 4",
            "    jb 37f",
            "    mov [rdi], r8d",
            "    mov [rdi + rdx - 4], r8d",
            "    ret",
            // 1 to 3: the first byte, the one in the middle, and the last.
            "37: test edx, edx",
            "    jz 38f",
            "    mov ecx, edx",
            "    shr ecx, 1",
            "    mov [rdi], r8b",
            "    mov [rdi + rcx], r8b",
            "    mov [rdi + rdx - 1], r8b",
            "38: ret",
            concat!(".size ", $set, ", . - ", $set),
            ".popsection",
        );
    };
}

#[cfg(all(target_arch = "x86_64", target_env = "musl", not(test)))]
define!("memcpy", "memmove", "memset");

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    define!(
        "haven_tested_memcpy",
        "haven_tested_memmove",
        "haven_tested_memset"
    );

    unsafe extern "C" {
        fn haven_tested_memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
        fn haven_tested_memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
        fn haven_tested_memset(to: *mut u8, byte: i32, count: usize) -> *mut u8;
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    fn counts() -> impl Iterator<Item = usize> {
        (0..300).chain([511, 512, 513, 1000, 1999])
    }

    #[test]
    fn every_count_at_every_alignment_is_copied_and_nothing_beside_it() {
        let source = pattern(2048);
        for count in counts() {
            for (from, to) in (0..16).map(|at| (at, (at * 7) % 16)) {
                let mut space = vec![0xee; 2048];
                // SAFETY: both have `count` bytes from there on, and do not overlap.
                let is_destination = unsafe {
                    let place = space.as_mut_ptr().add(to);
                    haven_tested_memcpy(place, source.as_ptr().add(from), count) == place
                };
                assert!(is_destination);
                let (before, rest) = space.split_at(to);
                let (copied, after) = rest.split_at(count);
                assert_eq!(copied, &source[from..from + count], "{count}");
                assert!(before.iter().chain(after).all(|&byte| byte == 0xee));
            }
        }
    }

    #[test]
    fn what_overlaps_is_moved_both_ways() {
        for count in counts() {
            for shift in [0, 1, 3, 8, 16, 17, 63, 64, 65, 100] {
                for (from, to) in [(0, shift), (shift, 0)] {
                    let (mut moved, mut expected) = (pattern(2200), pattern(2200));
                    // SAFETY: `moved` has more than 100 + 1999 bytes.
                    unsafe {
                        let place = moved.as_mut_ptr();
                        haven_tested_memmove(place.add(to), place.add(from), count);
                    }
                    expected.copy_within(from..from + count, to);
                    assert_eq!(moved, expected, "{count} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn every_count_at_every_alignment_is_filled_and_nothing_beside_it() {
        for count in counts() {
            for to in 0..16 {
                let mut space = vec![0xee; 2048];
                // SAFETY: `space` has `count` bytes from there on. Of the int, the low byte counts.
                let is_destination = unsafe {
                    let place = space.as_mut_ptr().add(to);
                    haven_tested_memset(place, 0x7f_a5, count) == place
                };
                assert!(is_destination);
                let (before, rest) = space.split_at(to);
                let (filled, after) = rest.split_at(count);
                assert!(filled.iter().all(|&byte| byte == 0xa5), "{count}");
                assert!(before.iter().chain(after).all(|&byte| byte == 0xee));
            }
        }
    }
}
