//! Who may be connected at the same time: in all, from one address, and before they have logged in.
//!
//! In: an address. Out: a [`Seat`], held as long as the connection, or the denial. A flood of clients
//! that never log in crowds out its own oldest, and nobody who has logged in: whoever means well logs in
//! in far less time than the flood needs to go round.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::denial::Denial;

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// In all.
    pub(super) connections: usize,
    /// From one address (IPv6: one /64).
    pub(super) per_address: usize,
    /// Not yet logged in.
    pub(super) strangers: usize,
}

/// The seats of one listener.
#[derive(Debug)]
pub(super) struct Seats {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// The oldest first.
    strangers: VecDeque<(u64, IpAddr, CancellationToken)>,
    next: u64,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    address: IpAddr,
    crowded_out: CancellationToken,
    logged_in: bool,
}

impl Seats {
    pub(super) fn new(limits: Limits) -> Arc<Seats> {
        Arc::new(Seats { limits, taken: Mutex::default() })
    }

    /// A seat for somebody from `address`.
    pub(super) fn take(self: &Arc<Seats>, address: IpAddr) -> Result<Seat, Denial> {
        let address = network(address);
        let mut taken = self.lock();
        if taken.by_address.get(&address).is_some_and(|n| *n >= self.limits.per_address) {
            return Err(Denial::AddressFull);
        }
        if taken.strangers.len() >= self.limits.strangers || taken.all >= self.limits.connections {
            let Some((_, whose, oldest)) = taken.strangers.pop_front() else { return Err(Denial::Full) };
            taken.leave(whose);
            oldest.cancel();
        }
        let (number, crowded_out) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        taken.strangers.push_back((number, address, crowded_out.clone()));
        Ok(Seat { seats: self.clone(), number, address, crowded_out, logged_in: false })
    }

    /// How many are taken: in all, and before they have logged in.
    #[cfg(test)]
    fn taken(&self) -> (usize, usize) {
        let taken = self.lock();
        (taken.all, taken.strangers.len())
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here panics between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn leave(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(n) = self.by_address.get_mut(&address) {
            *n -= 1;
            if *n == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Whether the stranger was still there.
    fn know(&mut self, number: u64) -> bool {
        let at = self.strangers.binary_search_by_key(&number, |(number, ..)| *number);
        at.ok().and_then(|at| self.strangers.remove(at)).is_some()
    }
}

impl Seat {
    /// Done when the seat is wanted by others; never once its holder has logged in.
    pub(super) fn crowded_out(&self) -> CancellationToken {
        self.crowded_out.clone()
    }

    /// Its holder is a stranger no more. False if the seat is gone.
    pub(super) fn log_in(&mut self) -> bool {
        self.logged_in = self.seats.lock().know(self.number);
        self.logged_in
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        // Whoever was crowded out has left already.
        if self.logged_in || taken.know(self.number) {
            taken.leave(self.address);
        }
    }
}

/// What counts as one address: in IPv6 everybody has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seats(connections: usize, per_address: usize, strangers: usize) -> Arc<Seats> {
        Seats::new(Limits { connections, per_address, strangers })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_flood_crowds_out_its_own_oldest_and_nobody_who_has_logged_in() {
        let seats = seats(4, 9, 2);
        let mut hospital = seats.take(address(1)).expect("a seat");
        assert!(hospital.log_in());
        let first = seats.take(address(2)).expect("a seat");
        let _second = seats.take(address(3)).expect("a seat");
        let _third = seats.take(address(4)).expect("a seat");
        assert!(first.crowded_out().is_cancelled() && !hospital.crowded_out().is_cancelled());
        assert_eq!(seats.taken(), (3, 2));
        drop(first);
        assert_eq!(seats.taken(), (3, 2), "it had left already");
    }

    #[test]
    fn one_address_has_no_more_than_its_seats_and_a_v6_network_is_one() {
        let seats = seats(9, 2, 9);
        let [a, b, c] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|a| a.parse().expect("an address"));
        let (one, _two) = (seats.take(a).expect("a seat"), seats.take(b).expect("a seat"));
        assert_eq!(seats.take(a).expect_err("denied"), Denial::AddressFull);
        let _other = seats.take(c).expect("another network");
        drop(one);
        assert!(seats.take(b).is_ok());
    }

    #[test]
    fn when_all_have_logged_in_the_house_is_full() {
        let seats = seats(2, 9, 9);
        let mut two = [1, 2].map(|n| seats.take(address(n)).expect("a seat"));
        assert!(two.iter_mut().all(Seat::log_in));
        assert_eq!(seats.take(address(3)).expect_err("denied"), Denial::Full);
    }

    proptest! {
        #[test]
        fn the_count_is_what_is_held(steps in prop::collection::vec((0u8..3, 0u8..6, any::<prop::sample::Index>()), 0..200)) {
            let seats = seats(8, 4, 3);
            let mut held: Vec<Seat> = Vec::new();
            for (what, from, which) in steps {
                match what {
                    0 => held.extend(seats.take(address(from))),
                    1 if !held.is_empty() => drop(held.swap_remove(which.index(held.len()))),
                    _ if !held.is_empty() => {
                        let which = which.index(held.len());
                        let seat = &mut held[which];
                        if !seat.logged_in {
                            prop_assert_eq!(seat.log_in(), !seat.crowded_out().is_cancelled());
                        }
                    }
                    _ => {}
                }
                let there = held.iter().filter(|seat| seat.logged_in || !seat.crowded_out().is_cancelled()).count();
                let (all, strangers) = seats.taken();
                prop_assert_eq!(all, there);
                prop_assert!(all <= 8 && strangers <= 3);
            }
            drop(held);
            prop_assert_eq!(seats.taken(), (0, 0));
            prop_assert!(seats.lock().by_address.is_empty());
        }
    }
}
