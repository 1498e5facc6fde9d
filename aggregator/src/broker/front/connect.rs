//! A client's CONNECT, read strictly, and the one that the embedded broker gets in its place. Pure.
//!
//! In: the body of the packet. Out: a [`Connect`], or why not. The broker's copy carries the login that
//! only this process knows, so that nobody but the front can speak to it; a client id with a prefix, so
//! that no client can push one of another standing off; and never a lasting session, because nothing
//! here relies on one and the broker would keep them for good.

use super::denial::Denial;
use super::frame::{CONNECT, Fields, put, put_bytes};

/// The largest CONNECT that is read.
pub(super) const MAX_CONNECT: usize = 4 * 1024;

/// The longest client id.
const MAX_CLIENT_ID: usize = 64;

/// The longest keep alive in seconds: a seat is not held for longer by nobody.
const MAX_KEEP_ALIVE: u16 = 600;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    /// Seconds.
    pub(super) keep_alive: u16,
    pub(super) will: Option<Will<'a>>,
    /// User name and password.
    pub(super) login: Option<(&'a str, &'a [u8])>,
}

/// What the broker shall say when the client is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Will<'a> {
    pub(super) topic: &'a str,
    payload: &'a [u8],
    /// 0 or 1.
    qos: u8,
    retain: bool,
}

impl<'a> Connect<'a> {
    /// Reads the body of a CONNECT.
    pub(super) fn read(body: &'a [u8]) -> Result<Connect<'a>, Denial> {
        let mut fields = Fields(body);
        let (name, level) = (fields.text()?, fields.byte()?);
        if (name, level) != ("MQTT", 4) {
            // Other versions have other fields, but all begin with a name.
            return Err(if matches!(name, "MQTT" | "MQIsdp") { Denial::Version } else { Denial::Malformed });
        }
        let flags = fields.byte()?;
        let set = |bit: u8| flags & bit != 0;
        let keep_alive = fields.number()?;
        let client_id = fields.text()?;
        let will = if set(0x04) {
            let (topic, payload) = (fields.text()?, fields.bytes()?);
            Some(Will { topic, payload, qos: (flags >> 3) & 3, retain: set(0x20) })
        } else {
            None
        };
        let login = match (set(0x80), set(0x40)) {
            (true, true) => Some((fields.text()?, fields.bytes()?)),
            (true, false) => Some((fields.text()?, &[][..])),
            (false, false) => None,
            (false, true) => return Err(Denial::Malformed),
        };
        let will_flags = flags & 0x38;
        let nameless_session = client_id.is_empty() && !set(0x02);
        if set(0x01) || (will.is_none() && will_flags != 0) || nameless_session || !fields.is_empty() {
            return Err(Denial::Malformed);
        }
        match &will {
            Some(will) if will.qos == 3 => return Err(Denial::Malformed),
            Some(will) if will.qos == 2 => return Err(Denial::Packet),
            _ => {}
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if client_id.len() > MAX_CLIENT_ID || !client_id.bytes().all(plain) {
            return Err(Denial::ClientId);
        }
        if !(1..=MAX_KEEP_ALIVE).contains(&keep_alive) {
            return Err(Denial::KeepAlive);
        }
        Ok(Connect { client_id, keep_alive, will, login })
    }

    /// The CONNECT for the embedded broker, with the login that it wants and the prefix of the client's standing.
    pub(super) fn rewritten(&self, prefix: &str, user: &str, password: &str) -> Vec<u8> {
        let mut flags = 0x80 | 0x40 | 0x02;
        if let Some(will) = &self.will {
            flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
        }
        let mut body = Vec::with_capacity(256);
        put_bytes(&mut body, b"MQTT");
        body.extend([4, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        // The broker gives a name to a client that has none.
        let prefix = if self.client_id.is_empty() { "" } else { prefix };
        put_bytes(&mut body, format!("{prefix}{}", self.client_id).as_bytes());
        if let Some(will) = &self.will {
            put_bytes(&mut body, will.topic.as_bytes());
            put_bytes(&mut body, will.payload);
        }
        put_bytes(&mut body, user.as_bytes());
        put_bytes(&mut body, password.as_bytes());
        let mut packet = Vec::with_capacity(body.len() + 5);
        put(&mut packet, CONNECT, &body);
        packet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::front::frame::frame;

    /// A CONNECT's body with these flags, then the fields as they are given.
    fn body(name: &[u8], level: u8, flags: u8, keep_alive: u16, fields: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        put_bytes(&mut body, name);
        body.extend([level, flags]);
        body.extend(keep_alive.to_be_bytes());
        for field in fields {
            put_bytes(&mut body, field);
        }
        body
    }

    #[test]
    fn every_fault_has_its_name() {
        for (body, denial) in [
            (body(b"MQTT", 5, 2, 30, &[b"a"]), Denial::Version),
            (body(b"MQIsdp", 3, 2, 30, &[b"a"]), Denial::Version),
            (body(b"HTTP", 4, 2, 30, &[b"a"]), Denial::Malformed),
            (body(b"MQTT", 4, 3, 30, &[b"a"]), Denial::Malformed),
            (body(b"MQTT", 4, 0x42, 30, &[b"a", b"p"]), Denial::Malformed),
            (body(b"MQTT", 4, 0x22, 30, &[b"a"]), Denial::Malformed),
            (body(b"MQTT", 4, 0x1e, 30, &[b"a", b"t", b"w"]), Denial::Malformed),
            (body(b"MQTT", 4, 0x16, 30, &[b"a", b"t", b"w"]), Denial::Packet),
            (body(b"MQTT", 4, 0, 30, &[b""]), Denial::Malformed),
            (body(b"MQTT", 4, 2, 30, &[b"a", b"more"]), Denial::Malformed),
            (body(b"MQTT", 4, 2, 30, &[b"\xff"]), Denial::Malformed),
            (body(b"MQTT", 4, 2, 30, &[b"a\0"]), Denial::Malformed),
            (body(b"MQTT", 4, 2, 30, &[b"a/b"]), Denial::ClientId),
            (body(b"MQTT", 4, 2, 30, &[&[b'a'; 65]]), Denial::ClientId),
            (body(b"MQTT", 4, 2, 0, &[b"a"]), Denial::KeepAlive),
            (body(b"MQTT", 4, 2, 601, &[b"a"]), Denial::KeepAlive),
        ] {
            assert_eq!(Connect::read(&body), Err(denial), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_rewritten_says_the_same_with_another_login(
            client_id in "[A-Za-z0-9_-]{1,60}",
            keep_alive in 1u16..=600,
            will in prop::option::of(("[a-z/]{1,20}", prop::collection::vec(any::<u8>(), 0..40), 0u8..2, any::<bool>())),
        ) {
            let will = will.as_ref().map(|(topic, payload, qos, retain)| {
                Will { topic, payload, qos: *qos, retain: *retain }
            });
            let connect = Connect { client_id: &client_id, keep_alive, will, login: None };
            let packet = connect.rewritten("n-", "front", "secret");
            let frame = frame(&packet, MAX_CONNECT).expect("right").expect("whole");
            prop_assert_eq!((frame.first, frame.len), (CONNECT, packet.len()));
            let prefixed = format!("n-{client_id}");
            let read = Connect::read(frame.body).expect("right");
            prop_assert_eq!(read, Connect { client_id: &prefixed, login: Some(("front", b"secret")), ..connect });
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Connect::read(&body);
        }
    }
}
