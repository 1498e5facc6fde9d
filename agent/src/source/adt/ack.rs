//! The answers to a message, in HL7's original and enhanced mode.
//!
//! In: the message (as far as it can be read) and what became of it. Out: the bytes of its answers, framed. Pure.
//!
//! MSH-15 and MSH-16 both empty: original mode, one application answer (AA, AE, AR). Else each of them says whether its
//! kind of answer is wanted: `AL` always, `NE` never, `SU` on success, `ER` on failure; empty is never. The accept
//! answer (CA, CE, CR) comes first.
//!
//! An answer repeats of the message its separators, the names of both ends, MSH-10, MSH-11, MSH-12 and the charset.
//! Everything else is our own words.

use jiff::Timestamp;
use vardpuls_shared::clock::Time;

use super::frame::framed;
use super::hl7::{Message, Separators};
use super::reason::{Answer, Reason};

/// The longest header field that is repeated.
const MAX_ECHO: usize = 256;

const USUAL: Separators =
    Separators { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' };

/// Appends the framed answers to `out`; `number` makes their control ids unique.
pub fn answer(message: Option<&Message<'_>>, reason: Reason, now: Time, number: u64, out: &mut Vec<u8>) {
    let Some(message) = message else {
        framed(&body(None, reason, code(reason, b'A'), now, number), out);
        return;
    };
    let header = message.header();
    let (accept, application) = (header.field(15).component(1).value(), header.field(16).component(1).value());
    let good = reason.answer() == Answer::Accept;
    if accept.is_empty() && application.is_empty() {
        framed(&body(Some(message), reason, code(reason, b'A'), now, number), out);
        return;
    }
    let wanted = |condition: &[u8]| match condition {
        b"AL" => true,
        b"SU" => good,
        b"ER" => !good,
        _ => false,
    };
    let twice = wanted(&application);
    if wanted(&accept) {
        // What is wrong in it is the application's to say, where that is wanted too.
        let (code, reason) = if twice { ("CA", Reason::Taken) } else { (code(reason, b'C'), reason) };
        framed(&body(Some(message), reason, code, now, number), out);
    }
    if twice {
        framed(&body(Some(message), reason, code(reason, b'A'), now, number), out);
    }
}

fn code(reason: Reason, mode: u8) -> &'static str {
    match (mode, reason.answer()) {
        (b'C', Answer::Accept) => "CA",
        (b'C', Answer::Error) => "CE",
        (b'C', Answer::Reject) => "CR",
        (_, Answer::Accept) => "AA",
        (_, Answer::Error) => "AE",
        (_, Answer::Reject) => "AR",
    }
}

fn body(message: Option<&Message<'_>>, reason: Reason, code: &str, now: Time, number: u64) -> Vec<u8> {
    let separators = message.map_or(USUAL, Message::separators);
    let Separators { field, component, repetition, escape, subcomponent } = separators;
    let echo = |n: usize| -> Vec<u8> {
        let raw = message.map(|m| m.header().field(n).raw).unwrap_or_default();
        raw.iter().copied().filter(|b| *b >= 0x20).take(MAX_ECHO).collect()
    };
    let trigger = message.map(|m| m.header().field(9).component(2).value().into_owned()).unwrap_or_default();
    let trigger: Vec<u8> = trigger.into_iter().filter(u8::is_ascii_alphanumeric).take(3).collect();
    let mut kind = b"ACK".to_vec();
    if !trigger.is_empty() {
        kind.push(component);
        kind.extend_from_slice(&trigger);
    }
    let id = format!("VP{:x}-{number}", now.0);
    let or = |text: Vec<u8>, usual: &[u8]| if text.is_empty() { usual.to_vec() } else { text };
    // MSH-2 to MSH-12, then nothing up to the charset in MSH-18.
    let mut head = vec![
        vec![component, repetition, escape, subcomponent],
        echo(5),
        echo(6),
        echo(3),
        echo(4),
        stamp(now).into_bytes(),
        Vec::new(),
        kind,
        id.into_bytes(),
        or(echo(11), b"P"),
        or(echo(12), b"2.5"),
    ];
    let charset = echo(18);
    if !charset.is_empty() {
        head.resize(16, Vec::new());
        head.push(charset);
    }
    let mut out = b"MSH".to_vec();
    for part in head {
        out.push(field);
        out.extend_from_slice(&part);
    }
    out.extend_from_slice(b"\rMSA");
    for part in [code.as_bytes(), &echo(10), reason.text().as_bytes()] {
        out.push(field);
        out.extend_from_slice(part);
    }
    out.push(b'\r');
    if reason.answer() != Answer::Accept {
        // ERR-3 condition, ERR-4 severity, ERR-7 what a person should read.
        out.extend_from_slice(b"ERR");
        for part in [b"".as_slice(), b"", reason.condition().as_bytes(), b"E", b"", b"", reason.text().as_bytes()] {
            out.push(field);
            out.extend_from_slice(part);
        }
        out.push(b'\r');
    }
    out
}

fn stamp(now: Time) -> String {
    let stamp = i64::try_from(now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    stamp.strftime("%Y%m%d%H%M%S+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::adt::frame::{Framer, Piece};

    const NOW: Time = Time(1_800_000_000_000);

    fn answers(message: &str, reason: Reason) -> Vec<String> {
        let mut out = Vec::new();
        answer(Message::parse(message.as_bytes()).as_ref(), reason, NOW, 7, &mut out);
        let mut pieces = Vec::new();
        Framer::new(10_000).push(&out, &mut pieces);
        pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Message(bytes) => String::from_utf8(bytes).expect("text"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// MSA-1 of each answer.
    fn codes(accept: &str, application: &str, reason: Reason) -> Vec<String> {
        let message = format!("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.5|||{accept}|{application}");
        let read = |text: &String| {
            let line = text.split('\r').nth(1).expect("an MSA").to_owned();
            assert!(line.starts_with("MSA|") && line.contains("|M1|"), "{line}");
            line[4..6].to_owned()
        };
        answers(&message, reason).iter().map(read).collect()
    }

    #[test]
    fn an_answer_turns_the_header_round_in_the_senders_separators() {
        let [answer] = &answers("MSH#!@%*#APP#FAC#US#HERE###ADT!A01#M1#P#2.3", Reason::NoVisit)[..] else {
            panic!("one answer")
        };
        assert_eq!(
            answer,
            "MSH#!@%*#US#HERE#APP#FAC#20270115080000+0000##ACK!A01#VP1a3185c5000-7#P#2.3\r\
             MSA#AE#M1#PV1-19 (visit number) is missing\r\
             ERR###101#E###PV1-19 (visit number) is missing\r"
        );
        let text = &answers("MSH|^~\\&|A||||||ADT^A01|M1|P|2.5||||||8859/1", Reason::Taken)[0];
        let header = Message::parse(text.as_bytes()).expect("a message").header();
        assert_eq!(header.field(18).raw, b"8859/1");
    }

    #[test]
    fn every_mode_is_answered_as_it_asks() {
        assert_eq!(codes("", "", Reason::Taken), ["AA"]);
        assert_eq!(codes("", "", Reason::NoVisit), ["AE"]);
        assert_eq!(codes("", "", Reason::NotKept), ["AR"]);
        assert_eq!(codes("AL", "NE", Reason::Taken), ["CA"]);
        assert_eq!(codes("AL", "", Reason::NoVisit), ["CE"]);
        assert_eq!(codes("AL", "", Reason::NotKept), ["CR"]);
        assert_eq!(codes("AL", "AL", Reason::NoVisit), ["CA", "AE"]);
        assert_eq!(codes("NE", "AL", Reason::Taken), ["AA"]);
        assert_eq!(codes("NE", "NE", Reason::NoVisit), [""; 0]);
        assert_eq!(codes("ER", "ER", Reason::Taken), [""; 0]);
        assert_eq!(codes("ER", "ER", Reason::NoVisit), ["CA", "AE"]);
        assert_eq!(codes("SU", "ER", Reason::Taken), ["CA"]);
    }

    #[test]
    fn what_is_no_message_is_rejected() {
        let [answer] = &answers("nonsense", Reason::NotHl7)[..] else { panic!("one answer") };
        assert!(answer.contains("\rMSA|AR||"), "{answer}");
    }
}
