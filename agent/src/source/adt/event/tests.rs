//! The table of events, one message each.

use super::*;

fn habits() -> Habits {
    Habits {
        charset: encoding_rs::WINDOWS_1252,
        zone: TimeZone::UTC,
        registrations: false,
        processing: vec!["P".to_owned()],
    }
}

const NOW: Time = Time(1_800_000_000_000);

fn event(trigger: &str, rest: &str) -> Result<Event, Reason> {
    let text =
        format!("MSH|^~\\&|A|B|C|D|20260408120500||ADT^{trigger}|M1|P|2.5\rEVN|{trigger}|20260408120000\r{rest}");
    read(&Message::parse(text.as_bytes()).expect("a message"), &habits(), NOW)
}

/// Act, visit numbers before and now, class and place of each step.
fn steps(event: Result<Event, Reason>) -> Vec<(Act, Option<String>, String, Option<String>)> {
    let Ok(Event::Visits(steps)) = event else { panic!("{event:?}") };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    steps
        .into_iter()
        .map(|s| {
            (s.said.act, s.before.as_deref().map(text), text(&s.number), s.said.place.map(|p| p.place.to_string()))
        })
        .collect()
}

const VISIT: &str =
    "PID|1||secret\rPV1|1|I|KIR3^4^B^HUS2|||MED1|||||||||||||V1^^^ADT^VN|||||||||||||||||||||||||20260401";

#[test]
fn moves_name_the_place_that_results() {
    for (trigger, act) in [
        ("A01", Act::Admit),
        ("A06", Act::Admit),
        ("A02", Act::Transfer),
        ("A03", Act::Discharge),
        ("A07", Act::EndInpatient),
        ("A08", Act::Note),
        ("A11", Act::CancelAdmit),
        ("A12", Act::CancelTransfer),
        ("A13", Act::CancelDischarge),
        ("A21", Act::Leave),
        ("A22", Act::Return),
    ] {
        assert_eq!(steps(event(trigger, VISIT)), [(act, None, "V1".into(), Some("KIR3^^^HUS2".into()))]);
    }
    let Ok(Event::Visits(steps)) = event("A02", VISIT) else { panic!("a step") };
    let said = &steps[0].said;
    assert_eq!(said.class, Class::new(b"i"));
    assert_eq!(said.prior.as_ref().map(|p| p.place.to_string()).as_deref(), Some("MED1"));
    assert_eq!(said.admitted.map(|t| t.to_string()).as_deref(), Some("2026-04-01T00:00:00.000Z"));
    assert_eq!(said.when.recorded.to_string(), "2026-04-08T12:00:00.000Z");
    assert_eq!(said.when.sent.to_string(), "2026-04-08T12:05:00.000Z");
    assert!(!format!("{:?}", steps[0]).contains("V1"));
}

#[test]
fn what_moves_nobody_is_no_event() {
    for trigger in
        ["A04", "A05", "A09", "A10", "A14", "A15", "A16", "A25", "A26", "A27", "A28", "A31", "A40", "A0X", ""]
    {
        assert_eq!(event(trigger, VISIT), Err(Reason::NotOfACensus), "{trigger}");
    }
}

#[test]
fn registrations_count_where_the_config_says_so() {
    let text = format!("MSH|^~\\&|||||||ADT^A04|M1|P|2.5\r{VISIT}");
    let habits = Habits { registrations: true, ..habits() };
    let event = read(&Message::parse(text.as_bytes()).expect("a message"), &habits, NOW);
    assert_eq!(steps(event)[0].0, Act::Admit);
}

#[test]
fn a_swap_names_two_visits() {
    let other = VISIT.replace("|V1^", "|V2^").replace("KIR3", "MED1");
    let both = steps(event("A17", &format!("{VISIT}\r{other}")));
    assert_eq!(
        both,
        [
            (Act::Transfer, None, "V1".into(), Some("KIR3^^^HUS2".into())),
            (Act::Transfer, None, "V2".into(), Some("MED1^^^HUS2".into())),
        ]
    );
    assert_eq!(event("A17", VISIT), Err(Reason::HalfASwap));
}

#[test]
fn a_new_number_comes_with_the_old_one() {
    let group = |old: &str, new: &str| format!("MRG|p||a||{old}\r{}\r", VISIT.replace("|V1^", &format!("|{new}^")));
    let both = steps(event("A45", &(group("O1", "N1") + &group("O2", "N2"))));
    let place = Some("KIR3^^^HUS2".to_owned());
    assert_eq!(
        both,
        [
            (Act::Note, Some("O1".into()), "N1".into(), place.clone()),
            (Act::Note, Some("O2".into()), "N2".into(), place.clone()),
        ]
    );
    assert_eq!(steps(event("A06", &group("O1", "N1"))), [(Act::Admit, Some("O1".into()), "N1".into(), place)]);
    assert_eq!(event("A45", VISIT), Err(Reason::NoPriorVisit));
    assert_eq!(event("A45", "MRG|p"), Err(Reason::NoPriorVisit));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(event("A01", "PID|1"), Err(Reason::NoVisit));
    assert_eq!(event("A01", "PV1|1|I|KIR3"), Err(Reason::NoVisit));
    assert_eq!(event("A02", &VISIT.replace("KIR3", "")), Err(Reason::NoPlace));
    assert_eq!(event("A08", &VISIT.replace("KIR3", "")), Err(Reason::SaysNoPlace));
    assert_eq!(event("A08", "PV1|1||KIR3"), Err(Reason::SaysNoPlace));
    // Of a visit that has ended; an end to come is none yet.
    assert_eq!(event("A08", &format!("{VISIT}|20260407")), Err(Reason::SaysNoPlace));
    assert_eq!(steps(event("A08", &format!("{VISIT}|20260409")))[0].0, Act::Note);
    let of = |header: &str| read(&Message::parse(header.as_bytes()).expect("a message"), &habits(), NOW);
    assert_eq!(of("MSH|^~\\&|||||||ORU^R01|M1|P|2.5"), Err(Reason::NotAdt));
    assert_eq!(of("MSH|^~\\&|||||||"), Err(Reason::NoType));
    assert_eq!(of("MSH|^~\\&|||||||ADT^A01|M1|T|2.5"), Err(Reason::NotProduction));
}

#[test]
fn a_bed_has_a_state() {
    let state = |status: &str| match event("A20", &format!("NPU|KIR3^4^B|{status}")) {
        Ok(Event::Bed { state, .. }) => Ok(state),
        Ok(other) => panic!("{other:?}"),
        Err(reason) => Err(reason),
    };
    for status in ["C", "H", "I", "K"] {
        assert_eq!(state(status), Ok(BedState::Blocked));
    }
    assert_eq!(state("U"), Ok(BedState::Usable));
    assert_eq!(state("O"), Ok(BedState::Usable));
    assert_eq!(state("X"), Err(Reason::NoBed));
    assert_eq!(event("A20", "NPU|KIR3|C"), Err(Reason::NoBed));
}

#[test]
fn the_trigger_is_the_headers_and_a_time_from_the_future_is_none() {
    let text = format!("MSH|^~\\&|||||20260408120500||ADT|M1||2.1\rEVN|A01|20990101||||20990101\r{VISIT}");
    let Ok(Event::Visits(steps)) = read(&Message::parse(text.as_bytes()).expect("a message"), &habits(), NOW) else {
        panic!("a step")
    };
    assert_eq!(steps[0].said.act, Act::Admit);
    assert_eq!(steps[0].said.when.happened, None);
    assert_eq!(steps[0].said.when.recorded.to_string(), "2026-04-08T12:05:00.000Z");
}
