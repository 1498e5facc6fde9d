//! Strict reading of CBOR payloads (RFC 8949): definite lengths, named fields, nothing left over.
//!
//! In: any bytes. Out: values or a [`WireError`] that says which field, where, and what was
//! expected. Never a panic, and never an allocation that is not backed by bytes already there:
//! nothing is reserved from a length that the input merely claims.

use minicbor::data::Type;
use minicbor::decode::Decoder;

/// The largest envelope that anybody has to accept, in bytes. Checked before any parsing.
pub const MAX_ENVELOPE: usize = 64 * 1024;

/// Why a payload could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The input ends inside a value.
    #[error("the message ends at byte {at}, inside {field}")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// Byte offset in the payload.
        at: usize,
    },
    /// Bytes follow the message.
    #[error("{extra} bytes follow the end of the message at byte {at}")]
    Trailing {
        /// Where the message ends.
        at: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// A value of another type, an indefinite length, or an array of another length.
    #[error("{field} at byte {at}: expected {expected}")]
    Malformed {
        /// The field that was being read.
        field: &'static str,
        /// Byte offset in the payload.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A number outside what the field allows.
    #[error("{field} at byte {at} is {value}; at most {max} is allowed")]
    OutOfRange {
        /// The field that was being read.
        field: &'static str,
        /// Byte offset in the payload.
        at: usize,
        /// The number found.
        value: u64,
        /// The largest number allowed.
        max: u64,
    },
    /// A message version that this reader does not know.
    #[error("message version {found}; this reader knows version {known}")]
    Version {
        /// The version found.
        found: u64,
        /// The version known.
        known: u64,
    },
    /// The same ward or the same extra twice.
    #[error("{field} {value} stands twice, again at byte {at}")]
    Duplicate {
        /// What stands twice.
        field: &'static str,
        /// Its number.
        value: u64,
        /// Where it stands again.
        at: usize,
    },
}

/// A cursor over a payload.
#[derive(Debug)]
pub struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(payload) }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    /// The bytes between two offsets.
    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        &self.decoder.input()[from..to]
    }

    fn fail(&self, field: &'static str, at: usize, e: &minicbor::decode::Error, expected: &'static str) -> WireError {
        if e.is_end_of_input() {
            WireError::Truncated { field, at: self.decoder.input().len() }
        } else {
            WireError::Malformed { field, at, expected }
        }
    }

    /// An unsigned integer of at most `max`.
    pub fn uint(&mut self, field: &'static str, max: u64) -> Result<u64, WireError> {
        let at = self.position();
        let value = self.decoder.u64().map_err(|e| self.fail(field, at, &e, "an unsigned integer"))?;
        if value > max {
            return Err(WireError::OutOfRange { field, at, value, max });
        }
        Ok(value)
    }

    /// An unsigned integer of at most `max`, which fits in 16 bits.
    pub fn uint16(&mut self, field: &'static str, max: u16) -> Result<u16, WireError> {
        let value = self.uint(field, u64::from(max))?;
        Ok(u16::try_from(value).expect("bounded by max"))
    }

    /// An unsigned integer of at most `max`, which fits in 32 bits.
    pub fn uint32(&mut self, field: &'static str, max: u32) -> Result<u32, WireError> {
        let value = self.uint(field, u64::from(max))?;
        Ok(u32::try_from(value).expect("bounded by max"))
    }

    /// A signed integer between `−max` and `max`.
    pub fn int(&mut self, field: &'static str, max: u32) -> Result<i64, WireError> {
        let at = self.position();
        let value = self.decoder.i64().map_err(|e| self.fail(field, at, &e, "an integer"))?;
        if value.unsigned_abs() > u64::from(max) {
            return Err(WireError::OutOfRange { field, at, value: value.unsigned_abs(), max: u64::from(max) });
        }
        Ok(value)
    }

    /// Text of at most `max` bytes.
    pub fn text(&mut self, field: &'static str, max: usize) -> Result<&'a str, WireError> {
        let at = self.position();
        let text = self.decoder.str().map_err(|e| self.fail(field, at, &e, "UTF-8 text of definite length"))?;
        if text.len() > max {
            return Err(WireError::OutOfRange { field, at, value: text.len() as u64, max: max as u64 });
        }
        Ok(text)
    }

    /// A byte string of definite length.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let at = self.position();
        self.decoder.bytes().map_err(|e| self.fail(field, at, &e, "a byte string of definite length"))
    }

    /// The head of an array of definite length; its length, at most `max`.
    pub fn array(&mut self, field: &'static str, max: u64) -> Result<u64, WireError> {
        let at = self.position();
        match self.decoder.array() {
            Ok(Some(n)) if n <= max => Ok(n),
            Ok(Some(n)) => Err(WireError::OutOfRange { field, at, value: n, max }),
            Ok(None) => Err(WireError::Malformed { field, at, expected: "an array of definite length" }),
            Err(e) => Err(self.fail(field, at, &e, "an array of definite length")),
        }
    }

    /// The head of an array of exactly `n` items.
    pub fn array_of(&mut self, field: &'static str, n: u64, expected: &'static str) -> Result<(), WireError> {
        let at = self.position();
        match self.array(field, u64::MAX)? {
            found if found == n => Ok(()),
            _ => Err(WireError::Malformed { field, at, expected }),
        }
    }

    /// The head of a map of definite length; its number of pairs, at most `max`.
    pub fn map(&mut self, field: &'static str, max: u64) -> Result<u64, WireError> {
        let at = self.position();
        match self.decoder.map() {
            Ok(Some(n)) if n <= max => Ok(n),
            Ok(Some(n)) => Err(WireError::OutOfRange { field, at, value: n, max }),
            Ok(None) => Err(WireError::Malformed { field, at, expected: "a map of definite length" }),
            Err(e) => Err(self.fail(field, at, &e, "a map of definite length")),
        }
    }

    /// A tag, which must be `tag`.
    pub fn tag(&mut self, field: &'static str, tag: u64, expected: &'static str) -> Result<(), WireError> {
        let at = self.position();
        match self.decoder.tag() {
            Ok(t) if t.as_u64() == tag => Ok(()),
            Ok(_) => Err(WireError::Malformed { field, at, expected }),
            Err(e) => Err(self.fail(field, at, &e, expected)),
        }
    }

    /// Takes a `null` if one stands here.
    pub fn null(&mut self) -> bool {
        matches!(self.decoder.datatype(), Ok(Type::Null)) && self.decoder.null().is_ok()
    }

    /// The message version, which must be `known`.
    pub fn version(&mut self, known: u64) -> Result<(), WireError> {
        match self.uint("version", u64::MAX)? {
            found if found == known => Ok(()),
            found => Err(WireError::Version { found, known }),
        }
    }

    /// The end: nothing may follow.
    pub fn end(self) -> Result<(), WireError> {
        let (at, len) = (self.position(), self.decoder.input().len());
        if at < len { Err(WireError::Trailing { at, extra: len - at }) } else { Ok(()) }
    }
}

/// An encoder into memory, which cannot fail.
pub(crate) type Writer = minicbor::Encoder<Vec<u8>>;

/// Unwraps what writing into a `Vec` returns.
pub(crate) fn written<T>(result: Result<T, minicbor::encode::Error<std::convert::Infallible>>) -> T {
    result.expect("writing to a Vec cannot fail")
}
