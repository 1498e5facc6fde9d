//! The first words of TDS (MS-TDS 2.2.6.5, PRELOGIN): what a client says, and what of the answer counts.
//!
//! Pure. The answer is read before any encryption, so that anybody on the way can have written it: nothing of it is
//! kept but the server's word about encryption, no length is believed, and there is no default.

/// How long a packet's header is (MS-TDS 2.2.3.1).
pub(super) const HEADER: usize = 8;
/// The longest packet before login (MS-TDS 2.2.6.4 lets the login ask for another size).
pub(super) const LONGEST: usize = 4096;
/// The kind of a packet that carries PRELOGIN, or TLS records of the handshake.
pub(super) const PRELOGIN: u8 = 0x12;
/// The kind of a packet that carries a server's answer.
const RESULT: u8 = 0x04;
/// The bit of a header that says that the message ends with this packet.
const LAST: u8 = 0x01;

const VERSION: u8 = 0x00;
const ENCRYPTION: u8 = 0x01;
const INSTANCE: u8 = 0x02;
const THREAD: u8 = 0x03;
const MARS: u8 = 0x04;
const END: u8 = 0xff;

/// What a side says about encryption (MS-TDS 2.2.6.5, ENCRYPTION).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Of the login only.
    Off,
    /// Of everything.
    On,
    /// Not at all.
    NotSupported,
    /// Of everything, or there is no connection.
    Required,
}

impl Encryption {
    fn byte(self) -> u8 {
        match self {
            Encryption::Off => 0,
            Encryption::On => 1,
            Encryption::NotSupported => 2,
            Encryption::Required => 3,
        }
    }
}

/// Why bytes are no PRELOGIN answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("its first bytes are not those of SQL Server")]
    OtherProtocol,
    #[error("its first packet has {0} bytes")]
    Length(usize),
    #[error("its first packet is cut or contradicts itself")]
    Cut,
    #[error("it says nothing about encryption")]
    Silent,
    #[error("it says {0} about encryption, which has no meaning")]
    Meaningless(u8),
}

/// The header of a packet that ends its message, before `payload` bytes.
pub(super) fn header(kind: u8, last: bool, payload: usize) -> [u8; HEADER] {
    let length = u16::try_from(HEADER + payload).expect("packets before login are at most LONGEST bytes").to_be_bytes();
    [kind, u8::from(last) * LAST, length[0], length[1], 0, 0, 0, 0]
}

/// The kind of a packet, and how many bytes come after its header.
pub(super) fn announced(header: [u8; HEADER]) -> Result<(u8, usize), NoAnswer> {
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    length.checked_sub(HEADER).map(|payload| (header[0], payload)).ok_or(NoAnswer::Length(length))
}

/// How many bytes follow the header of a server's answer.
pub(super) fn answer_length(header: [u8; HEADER]) -> Result<usize, NoAnswer> {
    if header[0] != RESULT || header[1] & LAST == 0 {
        return Err(NoAnswer::OtherProtocol);
    }
    match announced(header)? {
        (_, payload) if payload > LONGEST - HEADER => Err(NoAnswer::Length(HEADER + payload)),
        (_, payload) => Ok(payload),
    }
}

/// What a client says: the options that tiberius sends, in its order.
pub(super) fn question(encryption: Encryption) -> Vec<u8> {
    message(PRELOGIN, encryption)
}

/// What a server answers.
pub(super) fn answer(encryption: Encryption) -> Vec<u8> {
    message(RESULT, encryption)
}

fn message(kind: u8, encryption: Encryption) -> Vec<u8> {
    // The version is what FreeTDS says; a server only keeps it.
    let options: [(u8, &[u8]); 5] = [
        (VERSION, &[9, 0, 0, 0, 0, 0]),
        (ENCRYPTION, &[encryption.byte()]),
        (INSTANCE, &[0]),
        (THREAD, &[0; 4]),
        (MARS, &[0]),
    ];
    let mut table = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for (option, value) in options {
        let number = |n: usize| u16::try_from(n).expect("a few options").to_be_bytes();
        table.push(option);
        table.extend(number(options.len() * 5 + 1 + data.len()));
        table.extend(number(value.len()));
        data.extend(value);
    }
    table.push(END);
    let mut out = header(kind, true, table.len() + data.len()).to_vec();
    out.extend(table);
    out.extend(data);
    out
}

/// What a server's answer, without its header, says about encryption.
pub(super) fn encryption(answer: &[u8]) -> Result<Encryption, NoAnswer> {
    let mut said = None;
    let mut rest = answer;
    loop {
        let (&option, after) = rest.split_first().ok_or(NoAnswer::Cut)?;
        if option == END {
            break;
        }
        let ([o0, o1, l0, l1], after) = after.split_first_chunk().ok_or(NoAnswer::Cut)?;
        rest = after;
        let (offset, length) = (u16::from_be_bytes([*o0, *o1]), u16::from_be_bytes([*l0, *l1]));
        let end = usize::from(offset) + usize::from(length);
        let value = answer.get(usize::from(offset)..end).ok_or(NoAnswer::Cut)?;
        if option != ENCRYPTION {
            continue;
        }
        let (&[byte], None) = (value, said) else { return Err(NoAnswer::Cut) };
        said = Some(byte);
    }
    let kinds = [Encryption::Off, Encryption::On, Encryption::NotSupported, Encryption::Required];
    let byte = said.ok_or(NoAnswer::Silent)?;
    kinds.into_iter().find(|kind| kind.byte() == byte).ok_or(NoAnswer::Meaningless(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encryption; 4] = [Encryption::Off, Encryption::On, Encryption::NotSupported, Encryption::Required];

    #[test]
    fn what_is_written_is_read() {
        for kind in ALL {
            let whole = answer(kind);
            let (head, payload) = whole.split_first_chunk().expect("a header");
            assert_eq!(answer_length(*head), Ok(payload.len()));
            assert_eq!(encryption(payload), Ok(kind));
        }
    }

    #[test]
    fn only_the_word_about_encryption_differs() {
        let (off, on) = (question(Encryption::Off), question(Encryption::On));
        let differing: Vec<_> = (0..off.len()).filter(|&at| off[at] != on[at]).collect();
        assert_eq!((off.len(), differing), (on.len(), vec![HEADER + 26 + 6]));
    }

    #[test]
    fn the_recorded_answers_of_real_servers_are_understood() {
        // SQL Server 2012 SP1 (11.0.3000) and 2008 SP1 (10.0.2531), which have an empty THREADID.
        for version in [[0x0b, 0x00, 0x0b, 0xb8], [0x0a, 0x00, 0x09, 0xe3]] {
            let mut recorded = vec![
                0x04, 0x01, 0x00, 0x2b, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x1a, 0x00, 0x06, 0x01, 0x00, 0x20, 0x00,
                0x01, 0x02, 0x00, 0x21, 0x00, 0x01, 0x03, 0x00, 0x22, 0x00, 0x00, 0x04, 0x00, 0x22, 0x00, 0x01, 0xff,
            ];
            recorded.extend(version);
            recorded.extend([0x00, 0x00, 0x01, 0x00, 0x01]);
            let (head, payload) = recorded.split_first_chunk().expect("a header");
            assert_eq!(answer_length(*head), Ok(payload.len()));
            assert_eq!(encryption(payload), Ok(Encryption::On));
        }
    }

    #[test]
    fn what_is_no_answer_has_a_name() {
        assert_eq!(answer_length(*b"HTTP/1.1"), Err(NoAnswer::OtherProtocol));
        assert_eq!(answer_length([RESULT, 0, 0, 43, 0, 0, 0, 0]), Err(NoAnswer::OtherProtocol), "not the last packet");
        assert_eq!(answer_length([RESULT, 1, 0, 7, 0, 0, 0, 0]), Err(NoAnswer::Length(7)));
        assert_eq!(answer_length([RESULT, 1, 0x10, 1, 0, 0, 0, 0]), Err(NoAnswer::Length(4097)));
        for (payload, why) in [
            (&[][..], NoAnswer::Cut),
            (&[VERSION][..], NoAnswer::Cut),
            (&[ENCRYPTION, 0, 6, 0, 1][..], NoAnswer::Cut),
            (&[ENCRYPTION, 0, 6, 0, 1, END][..], NoAnswer::Cut),
            (&[ENCRYPTION, 0xff, 0xff, 0xff, 0xff, END, 1][..], NoAnswer::Cut),
            (&[ENCRYPTION, 0, 6, 0, 0, END, 1][..], NoAnswer::Cut),
            (&[ENCRYPTION, 0, 11, 0, 1, ENCRYPTION, 0, 11, 0, 1, END, 1][..], NoAnswer::Cut),
            (&[END][..], NoAnswer::Silent),
            (&[VERSION, 0, 6, 0, 1, END, 1][..], NoAnswer::Silent),
            (&[ENCRYPTION, 0, 6, 0, 1, END, 7][..], NoAnswer::Meaningless(7)),
        ] {
            assert_eq!(encryption(payload), Err(why), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_to_an_end(header: [u8; HEADER], payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer_length(header);
            let _ = encryption(&payload);
        }

        /// Whoever changes bytes on the way can change the word, but make nobody read beyond the packet.
        #[test]
        fn a_spoiled_answer_is_read_to_an_end(at in 0_usize..36, byte: u8, cut in 0_usize..36) {
            let mut payload = answer(Encryption::On).split_off(HEADER);
            payload[at] = byte;
            let _ = encryption(&payload[..cut]);
            let _ = encryption(&payload);
        }
    }
}
