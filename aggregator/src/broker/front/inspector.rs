//! What of a client's bytes may go on to the embedded broker. Pure.
//!
//! In: everything that came after the CONNECT, in any pieces. Out: how many bytes of it are whole
//! packets that the client may send, and then, where there is one, the reason why its connection ends.
//! How the bytes were cut makes no difference: a property test holds that. After a DISCONNECT nothing
//! counts any more. The broker sees only packets that were read here to their last byte.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::denial::Denial;
use super::frame::{DISCONNECT, Fields, Frame, PINGREQ, PUBACK, SUBSCRIBE, UNSUBSCRIBE, frame};
use super::rights::Rights;

/// Different filters of one name, for as long as the process lives: the broker keeps a log for each of them.
const MAX_FILTERS: usize = 256;

/// The filters that one name has ever subscribed to.
pub(super) type Filters = Arc<Mutex<BTreeSet<Box<str>>>>;

/// The judge of one connection.
#[derive(Debug)]
pub(super) struct Inspector {
    rights: Rights,
    filters: Filters,
    said_goodbye: bool,
}

impl Inspector {
    pub(super) fn new(rights: Rights, filters: Filters) -> Inspector {
        Inspector { rights, filters, said_goodbye: false }
    }

    /// Whether a DISCONNECT was admitted.
    pub(super) fn said_goodbye(&self) -> bool {
        self.said_goodbye
    }

    /// How many of the bytes go on, and why no more do.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> (usize, Option<Denial>) {
        let mut admitted = 0;
        while !self.said_goodbye {
            let next = frame(&bytes[admitted..], self.rights.cap());
            match next.and_then(|next| next.map(|frame| self.judge(frame).map(|()| frame.len)).transpose()) {
                Ok(Some(len)) => admitted += len,
                Ok(None) => return (admitted, None),
                Err(denial) => return (admitted, Some(denial)),
            }
        }
        (admitted, None)
    }

    fn judge(&mut self, Frame { first, body, .. }: Frame<'_>) -> Result<(), Denial> {
        let mut fields = Fields(body);
        match first {
            0x30..=0x3f => self.publish(first, fields),
            PUBACK => fields.packet_id().and_then(|_| whole(fields)),
            SUBSCRIBE => self.subscribe(fields),
            UNSUBSCRIBE => unsubscribe(fields),
            PINGREQ => whole(fields),
            DISCONNECT => {
                whole(fields)?;
                self.said_goodbye = true;
                Ok(())
            }
            // A second CONNECT, the rest of QoS 2, what only a broker sends; or flags that must not be.
            _ => Err(if matches!(first, 0x10 | 0x20 | 0x50 | 0x62 | 0x70 | 0x90 | 0xb0 | 0xd0) {
                Denial::Packet
            } else {
                Denial::Malformed
            }),
        }
    }

    fn publish(&self, first: u8, mut fields: Fields<'_>) -> Result<(), Denial> {
        let topic = fields.text()?;
        match (first >> 1) & 3 {
            // DUP is for what was sent before, which QoS 0 never was.
            0 if first & 8 != 0 => return Err(Denial::Malformed),
            0 => {}
            1 => drop(fields.packet_id()?),
            2 => return Err(Denial::Packet),
            _ => return Err(Denial::Malformed),
        }
        if self.rights.publish(topic) { Ok(()) } else { Err(Denial::Topic) }
    }

    fn subscribe(&self, mut fields: Fields<'_>) -> Result<(), Denial> {
        fields.packet_id()?;
        // At least one.
        loop {
            let filter = fields.text()?;
            match fields.byte()? {
                0 | 1 => {}
                2 => return Err(Denial::Packet),
                _ => return Err(Denial::Malformed),
            }
            if !self.rights.subscribe(filter) {
                return Err(Denial::Filter);
            }
            self.remember(filter)?;
            if fields.is_empty() {
                return Ok(());
            }
        }
    }

    fn remember(&self, filter: &str) -> Result<(), Denial> {
        // Every state is a good one, also after a panic elsewhere.
        let mut known = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(filter) {
            return Ok(());
        }
        if known.len() >= MAX_FILTERS {
            return Err(Denial::Filters);
        }
        known.insert(filter.into());
        Ok(())
    }
}

fn whole(fields: Fields<'_>) -> Result<(), Denial> {
    if fields.is_empty() { Ok(()) } else { Err(Denial::Malformed) }
}

fn unsubscribe(mut fields: Fields<'_>) -> Result<(), Denial> {
    fields.packet_id()?;
    loop {
        // Unsubscribing what one may not even subscribe to can only be meant ill.
        if !Rights::Local.subscribe(fields.text()?) {
            return Err(Denial::Filter);
        }
        if fields.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::front::frame::{put, put_bytes};

    fn inspector() -> Inspector {
        Inspector::new(Rights::Named("a".parse().expect("valid")), Filters::default())
    }

    fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut packet = Vec::new();
        put(&mut packet, first, &parts.concat());
        packet
    }

    fn text(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, text.as_bytes());
        out
    }

    fn report() -> Vec<u8> {
        packet(0x32, &[&text("vardpuls/v1/report/a"), &[0, 1], b"counts"])
    }

    #[test]
    fn every_packet_is_admitted_or_has_its_denial() {
        let (feed, receipt) = (text("vardpuls/v1/feed/#"), text("vardpuls/v1/receipt/a"));
        let (own, other) = (text("vardpuls/v1/report/a"), text("vardpuls/v1/report/b"));
        for (packet, denial) in [
            (report(), None),
            (packet(0x31, &[&own, b"x"]), None),
            (packet(0x38, &[&own, b"x"]), Some(Denial::Malformed)),
            (packet(0x32, &[&own, &[0, 0]]), Some(Denial::Malformed)),
            (packet(0x32, &[&own, &[0]]), Some(Denial::Malformed)),
            (packet(0x34, &[&own, &[0, 1]]), Some(Denial::Packet)),
            (packet(0x36, &[&own, &[0, 1]]), Some(Denial::Malformed)),
            (packet(0x31, &[&other]), Some(Denial::Topic)),
            (packet(0x30, &[&text("é/x")]), Some(Denial::Topic)),
            (packet(0x30, &[&[0, 9, b'x']]), Some(Denial::Malformed)),
            (packet(0x40, &[&[0, 1]]), None),
            (packet(0x40, &[&[0, 1, 2]]), Some(Denial::Malformed)),
            (packet(0x82, &[&[0, 1], &feed, &[1], &receipt, &[0]]), None),
            (packet(0x82, &[&[0, 1], &feed, &[2]]), Some(Denial::Packet)),
            (packet(0x82, &[&[0, 1], &feed, &[3]]), Some(Denial::Malformed)),
            (packet(0x82, &[&[0, 1]]), Some(Denial::Malformed)),
            (packet(0x80, &[&[0, 1], &feed, &[1]]), Some(Denial::Malformed)),
            (packet(0x82, &[&[0, 1], &other, &[1]]), Some(Denial::Filter)),
            (packet(0x82, &[&[0, 1], &text("$share/g/x"), &[1]]), Some(Denial::Filter)),
            (packet(0xa2, &[&[0, 1], &feed]), None),
            (packet(0xa2, &[&[0, 1], &text("$share/g/x")]), Some(Denial::Filter)),
            (packet(0xc0, &[]), None),
            (packet(0xc0, &[&[0]]), Some(Denial::Malformed)),
            (packet(0xe0, &[]), None),
            (packet(0x10, &[]), Some(Denial::Packet)),
            (packet(0x20, &[&[0, 0]]), Some(Denial::Packet)),
            (packet(0xb0, &[&[0, 1]]), Some(Denial::Packet)),
            (packet(0xf0, &[]), Some(Denial::Malformed)),
            (packet(0x00, &[]), Some(Denial::Malformed)),
            (vec![0x30, 0xff, 0xff, 0xff, 0x7f], Some(Denial::Oversize)),
        ] {
            let admitted = if denial.is_none() { packet.len() } else { 0 };
            assert_eq!(inspector().admit(&packet), (admitted, denial), "{packet:02x?}");
        }
    }

    #[test]
    fn nothing_counts_after_the_goodbye() {
        let mut inspector = inspector();
        let bytes = [report(), packet(0xe0, &[]), report()].concat();
        assert_eq!(inspector.admit(&bytes), (report().len() + 2, None));
        assert!(inspector.said_goodbye());
        assert_eq!(inspector.admit(&report()), (0, None));
    }

    #[test]
    fn a_name_has_so_many_filters_over_all_its_connections() {
        let filters = Filters::default();
        let subscribe = |n: usize| packet(0x82, &[&[0, 1], &text(&format!("vardpuls/v1/feed/hospital/{n}")), &[1]]);
        let admit = |n| {
            let rights = Rights::Named("a".parse().expect("valid"));
            Inspector::new(rights, filters.clone()).admit(&subscribe(n)).1
        };
        assert!((0..MAX_FILTERS).all(|n| admit(n).is_none()));
        assert_eq!(admit(0), None);
        assert_eq!(admit(MAX_FILTERS), Some(Denial::Filters));
    }

    /// Feeds the pieces as a connection does; what went on, and the denial.
    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Denial>) {
        let (mut inspector, mut waiting, mut on) = (inspector(), Vec::new(), Vec::new());
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            waiting.extend_from_slice(&bytes[from..to]);
            from = to;
            let (admitted, denial) = inspector.admit(&waiting);
            on.extend(waiting.drain(..admitted));
            if denial.is_some() {
                return (on, denial);
            }
        }
        (on, None)
    }

    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let any_packet = prop_oneof![
            6 => Just(report()),
            2 => Just(packet(0xc0, &[])),
            2 => Just(packet(0x82, &[&[0, 7], &text("vardpuls/v1/feed/nation"), &[1]])),
            1 => Just(packet(0x30, &[&text("vardpuls/v1/report/b")])),
            1 => Just(packet(0xe0, &[])),
            1 => prop::collection::vec(any::<u8>(), 0..12),
            1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(first, body)| packet(first, &[&body])),
        ];
        prop::collection::vec(any_packet, 0..12).prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn how_the_bytes_were_cut_makes_no_difference(
            bytes in packets(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(in_pieces(&bytes, &cuts), in_pieces(&bytes, &[]));
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (admitted, _) = inspector().admit(&bytes);
            prop_assert!(admitted <= bytes.len());
        }
    }
}
