//! Reads the bytes of one HL7 v2 message, as far as a census needs: MSH, EVN, PV1, NPU and MRG.
//!
//! In: one message, any version, any separators, lines ended by CR, LF or both. Out: a [`Message`] that borrows from
//! them. Pure; never panics; copies nothing until a field is asked for as text.
//!
//! There is no way to ask for another segment: who the patient is (PID, NK1, …) cannot be read through this file.
//! Nothing here is ever part of an error.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// A segment that a census needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    /// The header.
    Msh,
    /// The event.
    Evn,
    /// The visit.
    Pv1,
    /// A bed's state.
    Npu,
    /// What was merged away.
    Mrg,
}

impl Name {
    fn of(name: [u8; 3]) -> Option<Name> {
        match &name {
            b"MSH" => Some(Name::Msh),
            b"EVN" => Some(Name::Evn),
            b"PV1" => Some(Name::Pv1),
            b"NPU" => Some(Name::Npu),
            b"MRG" => Some(Name::Mrg),
            _ => None,
        }
    }
}

/// The separators of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// Between fields.
    pub field: u8,
    /// Between components.
    pub component: u8,
    /// Between repetitions.
    pub repetition: u8,
    /// Around an escape.
    pub escape: u8,
    /// Between subcomponents.
    pub subcomponent: u8,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    bytes: &'m [u8],
    separators: Separators,
    msh: Segment<'m>,
}

/// One segment: its bytes without the name.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'m> {
    /// Which.
    pub name: Name,
    /// The first field of [`Segment::rest`]: MSH-1 is the separator itself.
    first: usize,
    rest: &'m [u8],
    separators: Separators,
}

/// One field, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Field<'m> {
    /// As it stands in the message.
    pub raw: &'m [u8],
    separators: Separators,
}

impl<'m> Message<'m> {
    /// Reads the header; none where the bytes do not begin as a message does.
    pub fn parse(bytes: &'m [u8]) -> Option<Message<'m>> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let bytes = bytes.trim_ascii_start();
        let header = bytes.split(|b| is_break(*b)).next()?;
        let (&field, rest) = header.strip_prefix(b"MSH")?.split_first()?;
        if field.is_ascii_alphanumeric() || field.is_ascii_control() {
            return None;
        }
        let encoding = rest.split(|b| *b == field).next()?;
        let at = |n: usize, usual: u8| encoding.get(n).copied().unwrap_or(usual);
        let separators = Separators {
            field,
            component: at(0, b'^'),
            repetition: at(1, b'~'),
            escape: at(2, b'\\'),
            subcomponent: at(3, b'&'),
        };
        let msh = Segment { name: Name::Msh, first: 2, rest, separators };
        Some(Message { bytes, separators, msh })
    }

    /// Its separators.
    pub fn separators(&self) -> Separators {
        self.separators
    }

    /// The header.
    pub fn header(&self) -> Segment<'m> {
        self.msh
    }

    /// The segments that a census needs, in their order, without the header.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'m>> + use<'m> {
        let separators = self.separators;
        self.bytes.split(|b| is_break(*b)).skip(1).filter_map(move |line| {
            let (name, rest) = line.trim_ascii_start().split_first_chunk::<3>()?;
            let name = Name::of(*name).filter(|name| *name != Name::Msh)?;
            let rest = match rest.split_first() {
                None => rest,
                Some((&first, rest)) => (first == separators.field).then_some(rest)?,
            };
            Some(Segment { name, first: 1, rest, separators })
        })
    }

    /// The first segment of a name.
    pub fn first(&self, name: Name) -> Option<Segment<'m>> {
        if name == Name::Msh { Some(self.msh) } else { self.segments().find(|s| s.name == name) }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl<'m> Segment<'m> {
    /// The field of a number, as HL7 counts them; empty where it is not written.
    pub fn field(&self, number: usize) -> Field<'m> {
        let raw = match (self.name, number) {
            // The separators stand for themselves.
            (Name::Msh, 0 | 1) => &[],
            _ => number
                .checked_sub(self.first)
                .and_then(|n| self.rest.split(|b| *b == self.separators.field).nth(n))
                .unwrap_or_default(),
        };
        Field { raw, separators: self.separators }
    }
}

impl<'m> Field<'m> {
    /// The first repetition.
    #[must_use]
    pub fn once(self) -> Field<'m> {
        self.part(self.separators.repetition, 1)
    }

    /// A component of the first repetition, from 1.
    #[must_use]
    pub fn component(self, number: usize) -> Field<'m> {
        self.once().part(self.separators.component, number)
    }

    /// A subcomponent, from 1.
    #[must_use]
    pub fn subcomponent(self, number: usize) -> Field<'m> {
        self.part(self.separators.subcomponent, number)
    }

    fn part(self, separator: u8, number: usize) -> Field<'m> {
        let part = number.checked_sub(1).and_then(|n| self.raw.split(|b| *b == separator).nth(n));
        Field { raw: part.unwrap_or_default(), ..self }
    }

    /// The value without blanks around it and with escapes resolved; empty also for `""`, which means "deleted".
    pub fn value(self) -> Cow<'m, [u8]> {
        let raw = self.raw.trim_ascii();
        if raw == b"\"\"" {
            return Cow::Borrowed(&[]);
        }
        if raw.contains(&self.separators.escape) {
            Cow::Owned(self.unescaped(raw).trim_ascii().to_vec())
        } else {
            Cow::Borrowed(raw)
        }
    }

    /// The value as text; what is not of the charset becomes U+FFFD.
    pub fn text(self, charset: &'static Encoding) -> String {
        charset.decode_without_bom_handling(&self.value()).0.into_owned()
    }

    /// Escapes that are not known, or not ended, stay as they stand.
    fn unescaped(self, raw: &[u8]) -> Vec<u8> {
        let separators = self.separators;
        let mut out = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|b| *b == separators.escape) {
            out.extend_from_slice(&rest[..at]);
            let after = &rest[at + 1..];
            let Some(length) = after.iter().position(|b| *b == separators.escape) else {
                out.extend_from_slice(&rest[at..]);
                return out;
            };
            match &after[..length] {
                b"F" => out.push(separators.field),
                b"S" => out.push(separators.component),
                b"R" => out.push(separators.repetition),
                b"E" => out.push(separators.escape),
                b"T" => out.push(separators.subcomponent),
                [b'X', digits @ ..] if !digits.is_empty() && digits.len().is_multiple_of(2) => match hex(digits) {
                    Some(bytes) => out.extend_from_slice(&bytes),
                    None => out.extend_from_slice(&rest[at..at + length + 2]),
                },
                _ => out.extend_from_slice(&rest[at..at + length + 2]),
            }
            rest = &after[length + 1..];
        }
        out.extend_from_slice(rest);
        out
    }
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect()
}

/// The charset that MSH-18 names; none where it names none, or one that nobody knows.
///
/// `ASCII` is taken for none: senders write it and send Latin-1.
pub fn charset(header: Segment<'_>) -> Option<&'static Encoding> {
    let name = header.field(18).once().value();
    let label: &[u8] = match &*name {
        b"" | b"ASCII" | b"ISO IR6" => return None,
        b"UNICODE UTF-8" | b"UNICODE" => b"utf-8",
        b"ISO IR87" => b"iso-2022-jp",
        b"KS X 1001" => b"euc-kr",
        b"CNS 11643-1992" | b"BIG-5" => b"big5",
        b"GB 18030-2000" => b"gb18030",
        other => match other.strip_prefix(b"8859/") {
            Some(part) => return Encoding::for_label(&[b"iso-8859-", part].concat()),
            None => other,
        },
    };
    Encoding::for_label(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(field: Field<'_>) -> String {
        field.text(encoding_rs::UTF_8)
    }

    #[test]
    fn the_header_counts_its_separators() {
        let message = Message::parse(b"MSH|^~\\&|ADM|HOSP|LAB|LAB|20260408||ADT^A12^ADT_A12|M1|P|2.5.1").expect("one");
        let header = message.header();
        assert_eq!(text(header.field(3)), "ADM");
        assert_eq!(text(header.field(9).component(2)), "A12");
        assert_eq!(text(header.field(12)), "2.5.1");
        assert_eq!(text(header.field(18)), "");
        assert_eq!(header.field(2).raw, b"^~\\&");
    }

    #[test]
    fn separators_and_line_breaks_are_the_senders_own() {
        for bytes in ["\r", "\n", "\r\n", "\r\r\n"]
            .map(|eol| ["MSH#!@%*#S##ADT!A01", "EVN#A01", "PID#1##secret", "PV1#1#I#W!2%!F!3*x"].join(eol))
        {
            let message = Message::parse(bytes.as_bytes()).expect("one");
            assert_eq!(message.segments().map(|s| s.name).collect::<Vec<_>>(), [Name::Evn, Name::Pv1]);
            let place = message.first(Name::Pv1).expect("there").field(3);
            assert_eq!(text(place.component(1)), "W");
            assert_eq!(text(place.component(4)), "3*x");
            assert_eq!(text(place.component(4).subcomponent(2)), "x");
        }
    }

    #[test]
    fn escapes_are_resolved_and_what_is_no_escape_stays() {
        let read = |field: &str| {
            let bytes = format!("MSH|^~\\&|\rPV1|{field}");
            text(Message::parse(bytes.as_bytes()).expect("one").first(Name::Pv1).expect("there").field(1))
        };
        assert_eq!(read("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f"), "a|b^c&d~e\\f");
        assert_eq!(read("\\XC3A4\\ng"), "äng");
        assert_eq!(read("a\\b"), "a\\b");
        assert_eq!(read("a\\.br\\b"), "a\\.br\\b");
        assert_eq!(read("\\XZZ\\"), "\\XZZ\\");
        assert_eq!(read(" \"\" "), "");
    }

    #[test]
    fn what_is_no_message_is_none() {
        for bytes in ["", "MSH", "MSHA^~\\&", "PID|1", "FHS|^~\\&|", "MSH\r"] {
            assert!(Message::parse(bytes.as_bytes()).is_none(), "{bytes:?}");
        }
        assert!(Message::parse(b"\xef\xbb\xbf\r\nMSH|").is_some());
    }

    #[test]
    fn charsets_are_named_as_hl7_names_them() {
        let of = |name: &str| {
            let bytes = format!("MSH|^~\\&||||||||||||||||{name}");
            charset(Message::parse(bytes.as_bytes()).expect("one").header()).map(Encoding::name)
        };
        assert_eq!(of(""), None);
        assert_eq!(of("ASCII"), None);
        assert_eq!(of("8859/1"), Some("windows-1252"));
        assert_eq!(of("8859/15~UNICODE"), Some("ISO-8859-15"));
        assert_eq!(of("UNICODE UTF-8"), Some("UTF-8"));
        assert_eq!(of("nonsense"), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_else_is_read(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"MSHEVNPV1PIDMRGNPU|^~\\&\r\n\"X0".to_vec())], 0..400)) {
            let whole = [b"MSH|^~\\&|".as_slice(), &bytes].concat();
            for message in [Message::parse(&bytes), Message::parse(&whole)].into_iter().flatten() {
                for segment in message.segments().chain([message.header()]) {
                    charset(segment);
                    for number in 0..30 {
                        let field = segment.field(number);
                        text(field);
                        for part in 0..5 {
                            text(field.component(part).subcomponent(part));
                        }
                    }
                }
            }
        }

        #[test]
        fn values_come_back_as_they_were_written(value in "[ -~åäö]{0,20}", number in 2usize..30) {
            let mut escaped = String::new();
            for c in value.chars() {
                match c {
                    '|' => escaped.push_str("\\F\\"),
                    '^' => escaped.push_str("\\S\\"),
                    '&' => escaped.push_str("\\T\\"),
                    '~' => escaped.push_str("\\R\\"),
                    '\\' => escaped.push_str("\\E\\"),
                    c => escaped.push(c),
                }
            }
            let bytes = format!("MSH|^~\\&|\nPV1{}{escaped}|more", "|".repeat(number));
            let field = Message::parse(bytes.as_bytes()).expect("one").first(Name::Pv1).expect("there").field(number);
            let expected = if value.trim_ascii() == "\"\"" { "" } else { value.trim_ascii() };
            prop_assert_eq!(text(field.component(1)), expected);
        }
    }
}
