//! Where one MQTT 3.1.1 packet ends and the next begins, and the fields inside it. Pure.
//!
//! In: bytes as they arrived, in any pieces. Out: whole packets, or the reason why there will be none.
//! Nothing is reserved that a length merely claims: the caller refuses a claim over its cap as soon as
//! the length is known.

use super::denial::Denial;

/// The first byte of each kind of packet that has fixed flags, flags included.
pub(super) const CONNECT: u8 = 0x10;
pub(super) const CONNACK: u8 = 0x20;
pub(super) const PUBACK: u8 = 0x40;
pub(super) const SUBSCRIBE: u8 = 0x82;
pub(super) const UNSUBSCRIBE: u8 = 0xa2;
pub(super) const PINGREQ: u8 = 0xc0;
pub(super) const DISCONNECT: u8 = 0xe0;

/// A whole packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Kind and flags.
    pub(super) first: u8,
    /// What follows the fixed header.
    pub(super) body: &'a [u8],
    /// Bytes of the whole packet.
    pub(super) len: usize,
}

/// The packet at the start of `bytes`; none while some of it is missing.
pub(super) fn frame(bytes: &[u8], cap: usize) -> Result<Option<Frame<'_>>, Denial> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for at in 0..4 {
        let Some(&byte) = rest.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let header = at + 2;
            let len = header + length;
            if len > cap {
                return Err(Denial::Oversize);
            }
            return Ok(bytes.get(header..len).map(|body| Frame { first, body, len }));
        }
    }
    Err(Denial::Malformed)
}

/// The fields of a packet's body, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Denial> {
        let (&byte, rest) = self.0.split_first().ok_or(Denial::Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u16, Denial> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// A packet id, which is never 0.
    pub(super) fn packet_id(&mut self) -> Result<u16, Denial> {
        self.number().and_then(|id| if id == 0 { Err(Denial::Malformed) } else { Ok(id) })
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Denial> {
        let length = usize::from(self.number()?);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Denial::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A text behind its length; MQTT forbids NUL in it.
    pub(super) fn text(&mut self) -> Result<&'a str, Denial> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Denial::Malformed)?;
        if text.contains('\0') { Err(Denial::Malformed) } else { Ok(text) }
    }
}

/// Appends a packet.
pub(super) fn put(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits");
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("it was read from, or made for, a field of 16 bits");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_claim_is_refused_before_its_bytes_come() {
        assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff, 0x7f], 1000), Err(Denial::Oversize));
        assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff, 0xff], 1000), Err(Denial::Malformed));
        assert_eq!(frame(&[0x30, 0xff, 0xff], 1000), Ok(None));
        assert_eq!(frame(&[], 1000), Ok(None));
    }

    proptest! {
        #[test]
        fn what_was_put_is_found_again(first: u8, body in prop::collection::vec(any::<u8>(), 0..20_000), more: u8) {
            let mut bytes = Vec::new();
            put(&mut bytes, first, &body);
            let len = bytes.len();
            prop_assert_eq!(frame(&bytes[..len - 1], 1 << 20), Ok(None));
            bytes.push(more);
            prop_assert_eq!(frame(&bytes, 1 << 20), Ok(Some(Frame { first, body: &body, len })));
            prop_assert_eq!(frame(&bytes, len - 1), Err(Denial::Oversize));
        }
    }
}
