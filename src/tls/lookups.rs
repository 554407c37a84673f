//! The names that the host's addresses resolve to, asked seldom and remembered.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::addresses::is_link_local;
use super::subjects::dns_name;
use crate::sorted::Map;

/// How many addresses are looked up in one go.
const MAX_LOOKUPS: usize = 32;

/// No look-up begins when the ones before it have taken this long together. One alone may take as
/// long as the resolver's own patience: 5 s for each server that does not answer.
pub const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// How long an answer, or the lack of one, is good.
const LOOKUP_AGAIN: Duration = Duration::from_secs(15 * 60);

/// What DNS has told so far.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    known: Map<IpAddr, Known>,
}

#[derive(Debug)]
struct Known {
    asked: Instant,
    name: Option<String>,
}

impl Lookups {
    /// Asks `look_up` for the addresses that are new or were asked long ago, and forgets those
    /// that the host has no more.
    ///
    /// A name once found stays as long as its address when a later look-up fails: a DNS server
    /// that is away must not change the certificate.
    pub(super) fn update(
        &mut self,
        addresses: &[IpAddr],
        look_up: impl Fn(IpAddr) -> io::Result<Option<String>>,
    ) {
        self.known.retain(|address| addresses.contains(address));
        let start = Instant::now();
        let is_due = |known: Option<&Known>| {
            known.is_none_or(|known| start.duration_since(known.asked) >= LOOKUP_AGAIN)
        };
        let due: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|&address| !address.is_loopback() && !is_link_local(address))
            .filter(|address| is_due(self.known.get(address)))
            .take(MAX_LOOKUPS)
            .collect();
        for address in due {
            if start.elapsed() >= LOOKUP_TIME {
                break;
            }
            let found = look_up(address).ok().flatten();
            let before = self.known.remove(&address);
            let known = Known {
                asked: start,
                name: found.as_deref().and_then(dns_name).or_else(|| before?.name),
            };
            self.known.insert(address, known);
        }
    }

    /// The names found for the addresses of the last update.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let known = self.known.iter();
        known.filter_map(|(_, known)| known.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_address_is_asked_once_in_a_while_and_its_name_goes_with_it() {
        let asked = RefCell::new(Vec::new());
        let look_up = |address: IpAddr| {
            asked.borrow_mut().push(address);
            Ok(Some("Node.Example".to_owned()))
        };
        let mut lookups = Lookups::default();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let link_local = IpAddr::from([169, 254, 0, 1]);
        lookups.update(&[loopback, link_local, address(1)], look_up);
        lookups.update(&[address(1)], look_up);
        assert_eq!(*asked.borrow(), [address(1)]);
        assert_eq!(lookups.names().collect::<Vec<_>>(), ["node.example"]);
        lookups.update(&[address(2)], |_| Ok(Some("not a name".to_owned())));
        assert_eq!(lookups.names().count(), 0);
    }

    #[test]
    fn a_name_outlives_a_server_that_is_away() {
        let mut lookups = Lookups::default();
        lookups.update(&[address(1)], |_| Ok(Some("node.example".to_owned())));
        let long_ago = Instant::now().checked_sub(LOOKUP_AGAIN).unwrap();
        let mut known = lookups.known.remove(&address(1)).unwrap();
        known.asked = long_ago;
        lookups.known.insert(address(1), known);
        lookups.update(&[address(1)], |_| Err(io::Error::other("no server")));
        assert_eq!(lookups.names().count(), 1);
        assert!(lookups.known.get(&address(1)).unwrap().asked > long_ago);
    }

    #[test]
    fn the_number_of_lookups_is_bounded() {
        let asked = RefCell::new(0);
        let all: Vec<IpAddr> = (0..=255).map(address).collect();
        Lookups::default().update(&all, |_| {
            *asked.borrow_mut() += 1;
            Ok(None)
        });
        assert_eq!(*asked.borrow(), MAX_LOOKUPS);
    }
}
