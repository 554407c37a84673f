//! The machine's own addresses and names.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::cvt;

/// Every IPv4 and IPv6 address of the interfaces of this network namespace, loopback included,
/// with its interface's name (`getifaddrs(3)`).
///
/// # Errors
/// The kernel refused a netlink socket, or memory is out.
pub fn interface_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a live, writable pointer, which is all that the call touches.
    cvt(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: getifaddrs succeeded: `next` is null or an entry of its list, which lives until
    // freeifaddrs below and is only read.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: `ifa_addr` is null or an address of the family that it names (getifaddrs(3)).
        if let Some(address) = unsafe { ip_address(entry.ifa_addr) } {
            // SAFETY: `ifa_name` is a string that ends with a zero and lives as long as the list.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            addresses.push((name.to_string_lossy().into_owned(), address));
        }
        next = entry.ifa_next;
    }
    // SAFETY: `list` is what getifaddrs made, freed once, and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// The address in a `sockaddr`; `None` for null and for families other than IPv4 and IPv6.
///
/// # Safety
/// `address` is null or points to a socket address that is complete for the family it names.
unsafe fn ip_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, so by this function's contract at least a `sockaddr`'s family is there.
    let family = unsafe { (*address).sa_family };
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that a `sockaddr_in` is there; it may be unaligned.
            let inet = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(inet.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a `sockaddr_in6` is there; it may be unaligned.
            let inet6 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(inet6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// The name that `address` resolves to (`getnameinfo(3)` with `NI_NAMEREQD`), `None` where there
/// is none. **Blocks** on `/etc/hosts` and DNS, for seconds where no server answers.
///
/// # Errors
/// The look-up failed for another reason than that there is no name.
pub fn name_of(address: IpAddr) -> io::Result<Option<String>> {
    match address {
        IpAddr::V4(v4) => {
            // SAFETY: all zeros is a valid value of this plain C structure.
            let mut inet: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            inet.sin_family = libc::AF_INET as libc::sa_family_t;
            inet.sin_addr.s_addr = u32::from(v4).to_be();
            // SAFETY: a complete IPv4 socket address.
            unsafe { look_up(&inet) }
        }
        IpAddr::V6(v6) => {
            // SAFETY: all zeros is a valid value of this plain C structure.
            let mut inet6: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            inet6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            inet6.sin6_addr.s6_addr = v6.octets();
            // SAFETY: a complete IPv6 socket address.
            unsafe { look_up(&inet6) }
        }
    }
}

/// `getnameinfo(3)` for a socket address of type `T`.
///
/// # Safety
/// `T` is the C structure of the address family that the value names.
unsafe fn look_up<T>(address: &T) -> io::Result<Option<String>> {
    /// `NI_MAXHOST`: the longest name that a resolver answers with, and its zero.
    const MAX_NAME: usize = 1025;
    let mut name = [0_u8; MAX_NAME];
    // SAFETY: the address and its length are of one structure (this function's contract), `name`
    // is writable for the length given, and no service name is asked for (null, 0).
    let code = unsafe {
        libc::getnameinfo(
            ptr::from_ref(address).cast(),
            size_of::<T>() as libc::socklen_t,
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match code {
        0 => Ok(text(&name)),
        libc::EAI_NONAME => Ok(None),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        code => Err(io::Error::other(format!("getnameinfo answers {code}"))),
    }
}

/// The name of this UTS namespace (`uname(2)`): the machine's, or the container's own.
///
/// # Errors
/// The kernel refused; the name is empty or not UTF-8.
pub fn host_name() -> io::Result<String> {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is a live, writable `utsname`, which is all that the call touches.
    cvt(unsafe { libc::uname(&raw mut names) })?;
    let bytes = names.nodename.map(|character| character as u8);
    text(&bytes).ok_or_else(|| io::Error::other("the host has no name that is text"))
}

/// The text before the first zero; `None` if it is empty, not UTF-8, or not ended.
fn text(bytes: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_addresses() {
        let addresses = interface_addresses().unwrap();
        assert!(
            addresses.contains(&("lo".to_owned(), Ipv4Addr::LOCALHOST.into())),
            "{addresses:?}"
        );
    }

    #[test]
    fn the_host_name_is_the_kernels() {
        let kernels = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host_name().unwrap(), kernels.trim_end());
    }

    #[test]
    fn loopback_has_a_name() {
        assert!(name_of(Ipv4Addr::LOCALHOST.into()).unwrap().is_some());
    }

    #[test]
    fn text_ends_at_the_first_zero() {
        assert_eq!(text(b"host\0rubbish\0"), Some("host".to_owned()));
        assert_eq!(text(b"\0"), None);
        assert_eq!(text(b"unended"), None);
        assert_eq!(text(b"\xff\0"), None);
    }
}
