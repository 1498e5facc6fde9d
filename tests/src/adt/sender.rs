//! Messages as bytes, in one system's habits.
//!
//! In: what the truth tells. Out: an HL7 v2 message as that system would write it: its separators, charset, line breaks,
//! version, and which of the optional fields it fills. Every message also holds what the agent must not read.

use std::time::Duration;

use encoding_rs::Encoding;
use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use vardpuls_shared::clock::Time;

use super::truth::{Group, PLACES, Spot, Told};

/// The zone of times without an offset.
pub const ZONE: &str = "Europe/Stockholm";

/// How a system writes.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub struct Sender {
    /// Field, component, repetition, escape, subcomponent.
    pub separators: [char; 5],
    /// The charset, and what MSH-18 says of it.
    pub charset: (&'static Encoding, &'static str),
    /// After every segment.
    pub line_break: &'static str,
    /// MSH-12.
    pub version: &'static str,
    /// Whether times have an offset.
    pub offsets: bool,
    /// Whether there is an EVN segment; the event is in MSH-9 in any case.
    pub event_segment: bool,
    /// Whether EVN-6 says when it happened.
    pub says_when: bool,
    /// Whether PV1-44 says since when.
    pub says_since: bool,
    /// Whether PV1-2 is in every message, or only where it is needed.
    pub always_class: bool,
    /// How long after writing down it sends.
    pub delay: Duration,
    zone: TimeZone,
}

impl Sender {
    /// A system with habits of its own.
    pub fn with_seed(seed: u64) -> Sender {
        let mut rng = Rng::with_seed(seed);
        let event_segment = rng.u8(0..6) > 0;
        Sender {
            separators: if rng.u8(0..4) > 0 { ['|', '^', '~', '\\', '&'] } else { ['#', '!', '@', '%', '*'] },
            charset: [
                (encoding_rs::UTF_8, "UNICODE UTF-8"),
                (encoding_rs::WINDOWS_1252, "8859/1"),
                (encoding_rs::WINDOWS_1252, ""),
                (encoding_rs::WINDOWS_1252, "ASCII"),
            ][rng.usize(0..4)],
            line_break: ["\r", "\r", "\n", "\r\n"][rng.usize(0..4)],
            version: ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"][rng.usize(0..10)],
            offsets: rng.bool(),
            event_segment,
            says_when: event_segment && rng.bool(),
            says_since: rng.bool(),
            always_class: rng.bool(),
            delay: if event_segment && rng.bool() { Duration::from_secs(2) } else { Duration::ZERO },
            zone: TimeZone::get(ZONE).expect("bundled"),
        }
    }

    /// One message. `again` is how often it was sent before, each time as a new message about the same.
    pub fn write(&self, told: &Told, control: u64, again: u64) -> Vec<u8> {
        let [field, component, repetition, escape, subcomponent] = self.separators;
        let text = |text: &str| self.escaped(text);
        let sent = told.at.plus(self.delay + Duration::from_secs(60 * again));
        let kind = if told.trigger == "R01" { "ORU" } else { "ADT" };
        let mut segments = vec![vec![
            format!("MSH{field}{component}{repetition}{escape}{subcomponent}"),
            text("PAS & co"),
            "SJUKHUS".to_owned(),
            "VP".to_owned(),
            String::new(),
            self.stamp(sent),
            String::new(),
            format!("{kind}{component}{}", told.trigger),
            format!("M{control}"),
            "P".to_owned(),
            self.version.to_owned(),
        ]];
        if !self.charset.1.is_empty() {
            segments[0].resize(16, String::new());
            segments[0].push(self.charset.1.to_owned());
        }
        if self.event_segment {
            let happened =
                if self.says_when && told.trigger != "A08" { self.stamp(told.happened) } else { String::new() };
            segments.push(vec![
                "EVN".to_owned(),
                told.trigger.to_owned(),
                self.stamp(told.at),
                String::new(),
                String::new(),
                String::new(),
                happened,
            ]);
        }
        for group in &told.groups {
            let name = format!("{}{component}Åsa", text("von & zu Östlund"));
            segments.push(vec![
                "PID".to_owned(),
                "1".to_owned(),
                String::new(),
                "191212121212".to_owned(),
                String::new(),
                name,
            ]);
            if let Some(before) = &group.before {
                let nothing = String::new;
                segments.push(vec!["MRG".to_owned(), "P1".to_owned(), nothing(), nothing(), nothing(), before.clone()]);
            }
            segments.push(self.visit(told.trigger, group));
            segments.push(vec!["ZXX".to_owned(), "PV1".to_owned(), group.number.clone()]);
        }
        if let Some((spot, state)) = told.bed {
            segments.push(vec!["NPU".to_owned(), self.spot(Some(spot)), state.to_string()]);
        }
        let lines = segments.into_iter().map(|parts| parts.join(&field.to_string()) + self.line_break);
        self.charset.0.encode(&lines.collect::<String>()).0.into_owned()
    }

    fn visit(&self, trigger: &str, group: &Group) -> Vec<String> {
        let mut visit = vec![String::new(); 46];
        visit[0] = String::from("PV1");
        visit[1] = String::from("1");
        if self.always_class || matches!(trigger, "A01" | "A06" | "A07" | "A08") {
            visit[2] = group.class.to_string();
        }
        visit[3] = self.spot(group.spot);
        visit[6] = self.spot(group.prior);
        visit[19] = format!("{}{c}{c}{c}PAS{c}VN", group.number, c = self.separators[1]);
        if self.says_since {
            visit[44] = group.admitted.map(|at| self.stamp(at)).unwrap_or_default();
        }
        visit[45] = group.ended.map(|at| self.stamp(at)).unwrap_or_default();
        while visit.last().is_some_and(String::is_empty) {
            visit.pop();
        }
        visit
    }

    fn spot(&self, spot: Option<Spot>) -> String {
        let Some(Spot { place, bed }) = spot else { return String::new() };
        let place = PLACES[place];
        let (room, bed) = bed.map_or((String::new(), String::new()), |bed| (format!("S{}", bed / 2), bed.to_string()));
        let parts = [self.escaped(place.point_of_care), room, bed, self.escaped(place.facility)];
        parts.join(&self.separators[1].to_string()).trim_end_matches(self.separators[1]).to_owned()
    }

    fn escaped(&self, text: &str) -> String {
        let [field, component, repetition, escape, subcomponent] = self.separators;
        let names = [(field, 'F'), (component, 'S'), (repetition, 'R'), (escape, 'E'), (subcomponent, 'T')];
        let mut out = String::new();
        for c in text.chars() {
            match names.iter().find(|(separator, _)| *separator == c) {
                Some((_, name)) => out.extend([escape, *name, escape]),
                None => out.push(c),
            }
        }
        out
    }

    fn stamp(&self, time: Time) -> String {
        let at = i64::try_from(time.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let local = at.to_zoned(self.zone.clone());
        local.strftime(if self.offsets { "%Y%m%d%H%M%S.%3f%z" } else { "%Y%m%d%H%M%S.%3f" }).to_string()
    }
}
