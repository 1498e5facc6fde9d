//! What a stranger says in SQL Server's place before the login: nobody is believed who proves nothing; a client that wants
//! encryption says its first question in clear and nothing else; how the bytes come makes no difference; and nothing of a
//! person, who stands wherever an input has an `@`, is in an error. The first byte says how the bytes are cut.
#![no_main]

#[path = "parts/person.rs"]
mod person;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::sql::mssql::fuzzing::encrypt;

/// The kind of a packet with a question, or with TLS records of a handshake (MS-TDS 2.2.3.1.1).
const PRELOGIN: u8 = 0x12;
/// Alerts and handshakes (RFC 5246, section 6.2.1).
const RECORDS: [u8; 2] = [21, 22];

fuzz_target!(|bytes: &[u8]| {
    let Some((step, said)) = bytes.split_first() else { return };
    let said = person::put_into(said);
    let (heard, fault) = encrypt([said.as_slice()]);
    let fault = fault.expect("nobody is trusted");
    assert!(!person::is_in(fault.as_bytes()), "{fault}");

    let (_question, mut rest) = packet(&heard);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (content, after) = packet(rest);
        records.extend(content);
        rest = after;
    }
    let mut rest = records.as_slice();
    while !rest.is_empty() {
        rest = after_record(rest);
    }

    let (again, fault_again) = encrypt(said.chunks(usize::from(*step) + 1));
    // A handshake has random numbers in it, and always as many.
    assert_eq!((again.len(), fault_again), (heard.len(), Some(fault)));
});

/// The content of a packet, and what follows it.
fn packet(bytes: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(bytes[0], PRELOGIN);
    let (packet, rest) = bytes.split_at(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
    (&packet[8..], rest)
}

/// What follows a record.
fn after_record(bytes: &[u8]) -> &[u8] {
    assert!(RECORDS.contains(&bytes[0]), "a record of kind {}", bytes[0]);
    &bytes[5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]))..]
}
