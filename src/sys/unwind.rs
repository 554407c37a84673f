//! Stands in for the unwinder (libunwind) where nothing is ever unwound: a panic aborts, and
//! `scripts/build` leaves out the tables that an unwinder reads.
//!
//! `std` calls these. What they make unreachable goes from the binary: libunwind itself, and
//! everything that gives backtraces names (an inflater, a reader of DWARF, a demangler), 246 KB in
//! all. A panic's message and place stay.

use std::ffi::{c_int, c_void};

/// Walks no frame of the stack: a backtrace is empty.
// SAFETY: the name is libunwind's; it and its callers agree on taking two pointers and giving a code.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _argument: *mut c_void) -> c_int {
    0
}

/// Where a landing pad would go on unwinding; there is no way into one.
// SAFETY: as above, of one pointer; it never returns.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_exception: *mut c_void) -> ! {
    std::process::abort()
}

/// What Rust's personality function, which only an unwinder calls, asks and tells of a frame.
macro_rules! nothing {
    ($($name:ident)*) => {$(
        // SAFETY: as above; what it is given it does not look at.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> usize {
            0
        }
    )*};
}

nothing! {
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_SetGR
    _Unwind_SetIP
}

// The same in the exception handling ABI for the Arm architecture; the last are named by the tables.
#[cfg(target_arch = "arm")]
nothing! {
    _Unwind_VRS_Get
    _Unwind_VRS_Set
    __gnu_unwind_frame
    __aeabi_unwind_cpp_pr0
    __aeabi_unwind_cpp_pr1
    __aeabi_unwind_cpp_pr2
}
