//! Golden vectors: `vectors/vectors.json` holds keys, envelopes in hex and what they mean, so that an
//! implementation in another language can be tested without ours.
//!
//! In: fixed messages and RFC 8032's seeds. Out: the same file byte for byte (Ed25519 is deterministic).
//! A wanted change of the wire is written with
//! `WRITE_VECTORS=1 cargo test -p vardpuls-shared --test vectors`, and is a new message version.

use serde_json::{Value, json};
use vardpuls_shared::alert::Alert;
use vardpuls_shared::feed::Feed;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::report::{MAX_WARDS, Report};
use vardpuls_shared::roster::Roster;
use vardpuls_shared::signed::{Envelope, Kind, sign};

#[path = "golden/messages.rs"]
mod messages;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/vectors.json");

/// The hospital's seed: RFC 8032, §7.1, test 1.
const HOSPITAL_SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5,
    0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The centre's seed: RFC 8032, §7.1, test 2.
const CENTRE_SEED: [u8; 32] = [
    0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31,
    0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb,
];

/// The hospital's key.
fn hospital_key() -> SigningKey {
    SigningKey::from_seed(&HOSPITAL_SEED)
}

/// The centre's key.
fn centre_key() -> SigningKey {
    SigningKey::from_seed(&CENTRE_SEED)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hex text");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn key(seed: &[u8; 32]) -> Value {
    let public = SigningKey::from_seed(seed).public();
    json!({
        "seed": hex(seed),
        "public_key_bytes": hex(&public.0),
        "public_key": public.to_string(),
        "fingerprint": public.fingerprint().to_string(),
        "kid": public.id().to_string(),
    })
}

fn report_value(report: &Report) -> Value {
    let wards: Vec<Value> = report
        .wards
        .iter()
        .map(|(index, counts)| {
            let extras: serde_json::Map<String, Value> =
                counts.extras.iter().map(|(e, n)| (e.0.to_string(), json!(n))).collect();
            json!({ "index": index, "staffed": counts.staffed, "occupied": counts.occupied,
                "available": counts.available(), "extras": extras })
        })
        .collect();
    json!({
        "hospital": report.hospital, "epoch": report.position.epoch, "sequence": report.position.sequence,
        "observed_at": report.observed_at.0, "valid_for": report.valid_for, "roster_version": report.roster_version,
        "wards": wards,
    })
}

fn roster_value(roster: &Roster) -> Value {
    let wards: Vec<Value> = roster
        .wards
        .iter()
        .map(|w| {
            let capabilities: Vec<u16> = w.capabilities.iter().map(|c| c.0).collect();
            json!({ "index": w.index, "id": w.id, "name": w.name, "care": w.care, "care_number": w.care.number(),
                "place": w.place.map(|p| [p.latitude, p.longitude]), "capabilities": capabilities,
                "contact": w.contact })
        })
        .collect();
    json!({ "hospital": roster.hospital, "version": roster.version, "wards": wards })
}

fn receipt_value(receipt: &Receipt) -> Value {
    let refused: Vec<Value> = receipt
        .refused
        .iter()
        .map(|(sequence, reason)| json!({ "sequence": sequence, "reason": reason.number(), "name": reason.name() }))
        .collect();
    json!({ "hospital": receipt.hospital, "issued_at": receipt.issued_at.0, "epoch": receipt.epoch,
        "stored": receipt.stored, "refused": refused, "wanted": receipt.wanted })
}

fn vector(name: &str, kind: Kind, payload: &[u8], value: &Value) -> Value {
    let (signer, key) = match kind {
        Kind::Report | Kind::Roster => ("hospital", hospital_key()),
        Kind::Receipt | Kind::Feed | Kind::Alert => ("centre", centre_key()),
    };
    json!({ "name": name, "content_type": kind.content_type(), "key": signer, "payload": hex(payload),
        "envelope": hex(&sign(kind, payload, &key)), "value": value })
}

fn feed_vector(name: &str, feed: &Feed) -> Value {
    vector(name, Kind::Feed, &feed.encode(), &serde_json::to_value(feed).expect("a feed is JSON"))
}

fn alert_vector(name: &str, alert: &Alert) -> Value {
    vector(name, Kind::Alert, &alert.encode(), &serde_json::to_value(alert).expect("an alert is JSON"))
}

fn report_vector(name: &str, report: &Report) -> Value {
    vector(name, Kind::Report, &report.encode(), &report_value(report))
}

fn wrong(name: &str, layer: &str, reason: &str, envelope: &[u8]) -> Value {
    json!({ "name": name, "layer": layer, "reason": reason, "read_as": Kind::Report.content_type(),
        "key": "hospital", "envelope": hex(envelope) })
}

/// Bytes that a reader of reports has to refuse, and on which layer it can see that.
fn wrong_vectors() -> Vec<Value> {
    let key = hospital_key();
    let payload = messages::report().encode();
    let good = sign(Kind::Report, &payload, &key);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let signed = |payload: &[u8]| sign(Kind::Report, payload, &key);
    let mut absurd = messages::report();
    absurd.wards.entry(1).or_default().staffed = 10_000;
    let mut crowd = messages::report();
    crowd.wards = (0..=u16::try_from(MAX_WARDS).expect("small"))
        .map(|n| (n, vardpuls_shared::count::Counts::default()))
        .collect();
    let twice = [payload.as_slice(), &[0]].concat();
    let at_payload = good.len() - 66 - payload.len();
    vec![
        wrong("one bit of the payload changed", "signature", "bad_signature", &changed(at_payload + payload.len() - 1)),
        wrong("one bit of the signature changed", "signature", "bad_signature", &changed(good.len() - 1)),
        wrong("signed by another key under this key's id", "signature", "bad_signature", &{
            let mut bytes = good.clone();
            let at = bytes.len() - 64;
            let other = sign(Kind::Report, &payload, &centre_key());
            bytes.splice(at.., other[other.len() - 64..].iter().copied());
            bytes
        }),
        wrong("a roster where a report is due", "envelope", "wrong_content_type", &sign(Kind::Roster, &payload, &key)),
        wrong("cut by one byte", "envelope", "truncated", &good[..good.len() - 1]),
        wrong("one byte more after the envelope", "envelope", "trailing_bytes", &[good.as_slice(), &[0]].concat()),
        wrong("no tag", "envelope", "malformed", &good[1..]),
        wrong("one byte more after the payload", "payload", "trailing_bytes", &signed(&twice)),
        wrong("payload cut by one byte", "payload", "truncated", &signed(&payload[..payload.len() - 1])),
        wrong("10000 staffed beds in a ward", "payload", "absurd_count", &signed(&absurd.encode())),
        wrong("more than 1024 wards", "payload", "absurd_count", &signed(&crowd.encode())),
        wrong("message version 2", "payload", "unsupported_version", &signed(&[&[0x88, 2], &payload[2..]].concat())),
    ]
}

fn vectors() -> String {
    let document = json!({
        "about": "Vardpuls golden vectors. Bytes are hex. Envelopes are tagged COSE_Sign1 (RFC 9052), EdDSA over \
            Ed25519; payloads follow shared/src/*.cddl. Seeds are RFC 8032, section 7.1, tests 1 and 2. The kid is the \
            first 8 bytes of the RFC 9679 thumbprint, which is the fingerprint. Every reader must accept `envelopes` \
            with the named key and the given value, and must refuse `wrong` at the latest on the named layer.",
        "keys": { "hospital": key(&HOSPITAL_SEED), "centre": key(&CENTRE_SEED) },
        "envelopes": [
            vector("roster", Kind::Roster, &messages::roster().encode(), &roster_value(&messages::roster())),
            report_vector("report", &messages::report()),
            report_vector("report that vouches for no ward", &messages::empty_report()),
            report_vector("report of 25 wards", &messages::large_report()),
            vector("receipt", Kind::Receipt, &messages::receipt().encode(), &receipt_value(&messages::receipt())),
            feed_vector("feed of a hospital", &messages::hospital_feed()),
            feed_vector("feed of a region of which nothing is known", &messages::unknown_feed()),
            alert_vector("alert", &messages::raised_alert()),
            alert_vector("alert of a drill that is over", &messages::closed_alert()),
        ],
        "wrong": wrong_vectors(),
    });
    let mut text = serde_json::to_string_pretty(&document).expect("JSON");
    text.push('\n');
    text
}

fn stored() -> Value {
    let text = std::fs::read_to_string(FILE).expect("vectors/vectors.json is there");
    serde_json::from_str(&text).expect("vectors/vectors.json is JSON")
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let made = vectors();
    if std::env::var_os("WRITE_VECTORS").is_some() {
        std::fs::write(FILE, &made).expect("the file can be written");
    }
    let stored = std::fs::read_to_string(FILE).expect("vectors/vectors.json is there");
    for (number, (stored, made)) in stored.lines().zip(made.lines()).enumerate() {
        assert_eq!(stored, made, "line {} of {FILE}", number + 1);
    }
    assert_eq!(stored.len(), made.len(), "{FILE} has another length");
}

#[test]
fn the_keys_are_those_of_rfc_8032() {
    let keys = &stored()["keys"];
    assert_eq!(
        keys["hospital"]["public_key_bytes"],
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    assert_eq!(keys["centre"]["public_key_bytes"], "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
}

#[test]
fn every_vector_is_read_back_with_its_value() {
    let stored = stored();
    for v in stored["envelopes"].as_array().expect("a list") {
        let name = &v["name"];
        let bytes = unhex(&v["envelope"]);
        let kind = [Kind::Report, Kind::Roster, Kind::Receipt, Kind::Feed, Kind::Alert]
            .into_iter()
            .find(|k| v["content_type"] == k.content_type())
            .expect("a kind of ours");
        let public = if v["key"] == "hospital" { hospital_key().public() } else { centre_key().public() };
        let envelope = Envelope::open(kind, &bytes).expect("an envelope");
        assert_eq!(envelope.key_id, public.id(), "{name}");
        let payload = envelope.verify(&public).expect("verifies");
        assert_eq!(payload, unhex(&v["payload"]), "{name}");
        let value = match kind {
            Kind::Report => report_value(&Report::decode(payload).expect("a report")),
            Kind::Roster => roster_value(&Roster::decode(payload).expect("a roster")),
            Kind::Receipt => receipt_value(&Receipt::decode(payload).expect("a receipt")),
            Kind::Feed => serde_json::to_value(Feed::decode(payload).expect("a feed")).expect("JSON"),
            Kind::Alert => serde_json::to_value(Alert::decode(payload).expect("an alert")).expect("JSON"),
        };
        assert_eq!(value, v["value"], "{name}");
    }
}

#[test]
fn every_wrong_vector_is_refused_on_its_layer() {
    let stored = stored();
    let public = hospital_key().public();
    for v in stored["wrong"].as_array().expect("a list") {
        let bytes = unhex(&v["envelope"]);
        let found = match Envelope::open(Kind::Report, &bytes) {
            Err(_) => "envelope",
            Ok(envelope) => match envelope.verify(&public) {
                Err(_) => "signature",
                Ok(payload) => match Report::decode(payload) {
                    Err(_) => "payload",
                    Ok(_) => "taken",
                },
            },
        };
        assert_eq!(v["layer"], found, "{}", v["name"]);
    }
}
