//! MLLP: cuts a stream of bytes into frames. `0B`, the message, `1C 0D`.
//!
//! In: bytes, split anywhere. Out: [`Piece`]s in their order. Pure; never panics.
//!
//! # Invariants
//! 1. Where the stream is split makes no difference.
//! 2. It holds no more than its cap and what one read brought: of a longer message only the head is kept, so that it
//!    can be refused by name, and the rest is let pass.
//! 3. Half a message is never given out as a whole one. A frame that is not ended before the next begins is counted.
//! 4. Bytes between frames are skipped. Line breaks there are no fault, anything else is counted once a run.
//!
//! An end without its `0D` is accepted where the next frame begins at once, because senders are seen to do so. A `1C`
//! before anything else is a byte of the message.

const START: u8 = 0x0b;
const END: u8 = 0x1c;
const RETURN: u8 = 0x0d;

/// How much of a message that is too long is kept: enough for any header.
pub const HEAD: usize = 4096;

/// What was found in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Message(Vec<u8>),
    /// A message longer than the cap; this is its head.
    TooLong(Vec<u8>),
    /// A frame that was not ended before another began.
    Unfinished,
    /// Bytes that belong to no frame.
    Garbage,
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Framer {
    most: usize,
    state: State,
    body: Vec<u8>,
    /// The body outgrew the cap; only its head is kept.
    too_long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames; whether garbage of this run was told already.
    Outside { told: bool },
    /// In a frame.
    Inside,
    /// In a frame, after a byte that may be its end.
    Ending,
}

impl Framer {
    /// For messages of at most `most` bytes.
    pub fn new(most: usize) -> Framer {
        Framer { most, state: State::Outside { told: false }, body: Vec::new(), too_long: false }
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside(&self) -> bool {
        !matches!(self.state, State::Outside { .. })
    }

    /// Takes bytes and appends what they complete to `pieces`.
    pub fn push(&mut self, mut bytes: &[u8], pieces: &mut Vec<Piece>) {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Outside { told } => {
                    bytes = rest;
                    match first {
                        START => self.begin(),
                        RETURN | b'\n' => {}
                        _ if told => {}
                        _ => {
                            pieces.push(Piece::Garbage);
                            self.state = State::Outside { told: true };
                        }
                    }
                }
                State::Inside => {
                    let run = bytes.iter().position(|b| matches!(*b, START | END)).unwrap_or(bytes.len());
                    self.keep(&bytes[..run]);
                    bytes = &bytes[run..];
                    if let Some((&mark, rest)) = bytes.split_first() {
                        bytes = rest;
                        if mark == END {
                            self.state = State::Ending;
                        } else {
                            pieces.push(Piece::Unfinished);
                            self.begin();
                        }
                    }
                }
                State::Ending => match first {
                    RETURN => {
                        bytes = rest;
                        pieces.push(self.end());
                    }
                    START => pieces.push(self.end()),
                    _ => {
                        self.keep(&[END]);
                        self.state = State::Inside;
                    }
                },
            }
        }
    }

    fn begin(&mut self) {
        self.body.clear();
        self.too_long = false;
        self.state = State::Inside;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.too_long {
            return;
        }
        if self.body.len() + bytes.len() <= self.most {
            self.body.extend_from_slice(bytes);
            return;
        }
        self.too_long = true;
        let room = HEAD.min(self.most);
        let missing = room.saturating_sub(self.body.len()).min(bytes.len());
        self.body.extend_from_slice(&bytes[..missing]);
        self.body.truncate(room);
        self.body.shrink_to_fit();
    }

    fn end(&mut self) -> Piece {
        self.state = State::Outside { told: false };
        let body = std::mem::take(&mut self.body);
        if self.too_long { Piece::TooLong(body) } else { Piece::Message(body) }
    }
}

/// A message in its frame.
pub fn framed(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + 3);
    out.push(START);
    out.extend_from_slice(message);
    out.extend_from_slice(&[END, RETURN]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(most: usize, parts: &[&[u8]]) -> Vec<Piece> {
        let (mut framer, mut pieces) = (Framer::new(most), Vec::new());
        for part in parts {
            framer.push(part, &mut pieces);
        }
        pieces
    }

    fn message(text: &str) -> Piece {
        Piece::Message(text.as_bytes().to_vec())
    }

    #[test]
    fn pipelined_frames_come_out_one_by_one() {
        assert_eq!(cut(10, &[b"\x0ba\x1c\r\x0bb\x1c\r"]), [message("a"), message("b")]);
        assert_eq!(cut(10, &[b"\x0ba\x1c\r\n\r\n\x0bb\x1c\r"]), [message("a"), message("b")]);
    }

    #[test]
    fn what_breaks_other_framers_breaks_nothing() {
        // An end without its carriage return.
        assert_eq!(cut(10, &[b"\x0ba\x1c\x0bb\x1c\r"]), [message("a"), message("b")]);
        assert_eq!(cut(10, &[b"\x1c\r\x0b"]), [Piece::Garbage]);
        // An end mark inside a message.
        assert_eq!(cut(10, &[b"\x0ba\x1cb\x1c\x1c\r"]), [message("a\x1cb\x1c")]);
        assert_eq!(
            cut(10, &[b"noise\x0ba\x1c\rmore noise\x0bb\x1c\r"]),
            [Piece::Garbage, message("a"), Piece::Garbage, message("b")]
        );
        assert_eq!(cut(10, &[b"\x0bhalf\x0bb\x1c\r\x0bhalf"]), [Piece::Unfinished, message("b")]);
    }

    #[test]
    fn a_message_that_is_too_long_leaves_its_head_and_spoils_nothing_after_it() {
        let long = vec![b'x'; HEAD * 3];
        let pieces = cut(HEAD * 2, &[b"\x0b", &long, b"\x1c\r\x0bb\x1c\r"]);
        assert_eq!(pieces, [Piece::TooLong(vec![b'x'; HEAD]), message("b")]);
        assert_eq!(cut(3, &[b"\x0bab", b"cd\x1c\r"]), [Piece::TooLong(b"abc".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_pieces(
            bytes in prop::collection::vec(prop_oneof![Just(START), Just(END), Just(RETURN), Just(b'\n'), any::<u8>()], 0..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            most in 1usize..40,
        ) {
            let whole = cut(most, &[&bytes]);
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(&cut(most, &parts), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&cut(most, &single), &whole);
            for piece in whole {
                if let Piece::Message(body) | Piece::TooLong(body) = piece {
                    prop_assert!(body.len() <= most);
                }
            }
        }

        #[test]
        fn what_was_framed_comes_out_between_any_garbage(
            messages in prop::collection::vec("[ -~\r]{0,60}", 0..10),
            garbage in prop::collection::vec("[ -~\r\n]{0,10}", 10),
        ) {
            let mut stream = Vec::new();
            for (text, noise) in messages.iter().zip(&garbage) {
                stream.extend_from_slice(noise.as_bytes());
                framed(text.as_bytes(), &mut stream);
            }
            let mut pieces = cut(1000, &[&stream]);
            pieces.retain(|p| *p != Piece::Garbage);
            prop_assert_eq!(pieces, messages.iter().map(|m| message(m)).collect::<Vec<_>>());
        }
    }
}
