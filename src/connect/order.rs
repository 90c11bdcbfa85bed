//! The order in which addresses are tried.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// Orders addresses as RFC 8305, section 4, says: families alternate, beginning with the first
/// address's (its "First Address Family Count" is 1). Within a family the order stays: the system
/// has sorted it by RFC 6724. Duplicates are removed.
pub(crate) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_ipv4 = first.is_ipv4();
    let mut seen = HashSet::new();
    let (mut next, mut other): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .filter(|address| seen.insert(*address))
        .partition(|address| address.is_ipv4() == first_is_ipv4);
    let mut ordered = Vec::with_capacity(seen.len());
    while let Some(address) = next.pop_front().or_else(|| other.pop_front()) {
        ordered.push(address);
        std::mem::swap(&mut next, &mut other);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        let address = |host: &str| SocketAddr::new(host.parse().unwrap(), 80);
        text.split_whitespace().map(address).collect()
    }

    #[test]
    fn families_alternate_from_the_first_addresss_on_and_keep_their_order() {
        for (resolved, expected) in [
            ("", ""),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2 10.0.0.1", "10.0.0.2 10.0.0.1"),
            ("::2 ::1 10.0.0.2 10.0.0.1", "::2 10.0.0.2 ::1 10.0.0.1"),
            ("10.0.0.2 ::1 ::2 ::3", "10.0.0.2 ::1 ::2 ::3"),
            ("::3 ::2 ::1 10.0.0.1", "::3 10.0.0.1 ::2 ::1"),
            ("::1 ::1 10.0.0.1 10.0.0.1 ::2 ::1", "::1 10.0.0.1 ::2"),
        ] {
            assert_eq!(interleave(addresses(resolved)), addresses(expected), "{resolved}");
        }
    }

    #[test]
    fn one_host_with_two_ports_is_no_duplicate() {
        let two = vec!["[::1]:80".parse().unwrap(), "[::1]:443".parse().unwrap()];
        assert_eq!(interleave(two.clone()), two);
    }

    proptest! {
        #[test]
        fn no_address_is_lost_doubled_or_moved_within_its_family(
            numbers in prop::collection::vec((any::<bool>(), 1..20_u8), 0..40)
        ) {
            let resolved: Vec<SocketAddr> = numbers
                .iter()
                .map(|(is_ipv4, n)| match is_ipv4 {
                    true => SocketAddr::from(([127, 0, 0, *n], 80)),
                    false => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, u16::from(*n)], 80)),
                })
                .collect();
            let ordered = interleave(resolved.clone());
            let family = |of: &[SocketAddr], is_ipv4| -> Vec<SocketAddr> {
                let mut family: Vec<SocketAddr> = Vec::new();
                for address in of.iter().filter(|address| address.is_ipv4() == is_ipv4) {
                    if !family.contains(address) {
                        family.push(*address);
                    }
                }
                family
            };
            let (ipv4, ipv6) = (family(&resolved, true), family(&resolved, false));
            prop_assert_eq!(ordered.len(), ipv4.len() + ipv6.len());
            prop_assert_eq!(family(&ordered, true), &ipv4[..]);
            prop_assert_eq!(family(&ordered, false), &ipv6[..]);
            prop_assert_eq!(ordered.first(), resolved.first());
            let alternating = 2 * ipv4.len().min(ipv6.len());
            for pair in ordered[..alternating].windows(2) {
                prop_assert_ne!(pair[0].is_ipv4(), pair[1].is_ipv4());
            }
        }
    }
}
