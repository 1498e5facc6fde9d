//! An alarm as a Common Alerting Protocol message (OASIS CAP 1.2). Pure.
//!
//! In: a journal entry with what it says, and the earlier messages about the same alarm. Out: XML that
//! holds to the CAP 1.2 schema. The same entry always gives the same bytes.
//!
//! | CAP | from |
//! |---|---|
//! | identifier | `<alert id>.<journal number>` |
//! | sent | the entry's time, in UTC, which CAP writes `-00:00` |
//! | status, note | whether it is meant; the drill's name |
//! | msgType, references | the kind of message; all since the alarm was last announced |
//! | urgency, severity, responseType | the severity; past and `AllClear` when it is over |
//! | certainty | observed; a forecast is possible |

mod xml;

use std::borrow::Cow;
use std::io;

use vardpuls_shared::alert::{Alert, Severity, Status, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use crate::alert::entry::{Entry, Message, Said};

pub(crate) use xml::Xml;

/// CAP's namespace.
pub const NAMESPACE: &str = "urn:oasis:names:tc:emergency:cap:1.2";

/// The measure that is a forecast: what it says may not come.
const FORECAST: &str = "time-to-full";

/// An earlier message about the same alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Its journal number.
    pub number: u64,
    /// When it was said.
    pub sent: Time,
}

/// The message that an entry is. `previous` are the messages since the alarm was last announced, oldest first.
pub fn cap(entry: &Entry, said: &Said, sender: &str, previous: &[Earlier]) -> String {
    let mut xml = Xml::document();
    write(&mut xml, entry, said, sender, previous).expect("writing to memory cannot fail");
    xml.finish()
}

/// Writes the message into an element that is being written.
pub(crate) fn write(xml: &mut Xml, entry: &Entry, said: &Said, sender: &str, previous: &[Earlier]) -> io::Result<()> {
    let alert = &said.alert;
    xml.element("alert", &[("xmlns", NAMESPACE)], |xml| {
        xml.text("identifier", &identifier(alert, entry.number))?;
        xml.text("sender", sender)?;
        xml.text("sent", &instant(entry.at))?;
        xml.text("status", alert.status.cap())?;
        xml.text("msgType", message_type(said.message))?;
        xml.text("scope", "Public")?;
        if let Some(name) = &alert.exercise {
            xml.text("note", name)?;
        }
        if !previous.is_empty() {
            let reference = |e: &Earlier| format!("{sender},{},{}", identifier(alert, e.number), instant(e.sent));
            xml.text("references", &previous.iter().map(reference).collect::<Vec<_>>().join(" "))?;
        }
        xml.element("info", &[], |xml| info(xml, said))
    })
}

fn info(xml: &mut Xml, said: &Said) -> io::Result<()> {
    let alert = &said.alert;
    let over = alert.cleared_at.is_some();
    xml.text("language", "en")?;
    xml.text("category", "Health")?;
    xml.text("event", &alert.rule)?;
    // An alarm that was only hidden is neither over nor to be acted on.
    match (over, said.message) {
        (true, _) => xml.text("responseType", "AllClear")?,
        (false, Message::Cancel) => xml.text("responseType", "None")?,
        (false, _) => xml.text("responseType", response_type(alert.severity))?,
    }
    let past = over || said.message == Message::Cancel;
    xml.text("urgency", if past { "Past" } else { urgency(alert.severity) })?;
    xml.text("severity", severity(alert.severity))?;
    xml.text("certainty", if alert.measure == FORECAST { "Possible" } else { "Observed" })?;
    xml.text("onset", &instant(alert.raised_at))?;
    xml.text("headline", &headline(alert))?;
    xml.text("description", &description(alert))?;
    xml.text("instruction", &alert.response)?;
    let target = alert.target.to_string();
    let value = alert.value.map(|value| format!("{value}"));
    let parameters = [
        ("vardpuls:rule", Some(alert.rule.as_str())),
        ("vardpuls:target", Some(&target)),
        ("vardpuls:measure", Some(&alert.measure)),
        ("vardpuls:value", value.as_deref()),
        ("vardpuls:unit", Some(&alert.unit)),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            xml.element("parameter", &[], |xml| pair(xml, name, value))?;
        }
    }
    xml.element("area", &[], |xml| {
        xml.text("areaDesc", &alert.name)?;
        let region = match &alert.target {
            Target::Scope(Scope::Region(code)) => Some(code),
            _ => alert.region.as_ref(),
        };
        if let Some(code) = region {
            xml.element("geocode", &[], |xml| pair(xml, "vardpuls:region", code.as_str()))?;
        }
        Ok(())
    })
}

fn pair(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    xml.text("valueName", name)?;
    xml.text("value", value)
}

/// A message's name.
pub fn identifier(alert: &Alert, number: u64) -> String {
    format!("{}.{number}", alert.id)
}

/// The headline, which says of a drill or a test that it is one.
pub fn headline(alert: &Alert) -> Cow<'_, str> {
    let mark = match alert.status {
        Status::Actual => return Cow::from(&alert.headline),
        Status::Exercise => "EXERCISE",
        Status::Test => "TEST",
    };
    if alert.headline.starts_with(mark) {
        return Cow::from(&alert.headline);
    }
    Cow::from(format!("{mark}: {}", alert.headline))
}

/// A value with its unit, to a tenth.
pub fn quantity(value: f64, unit: &str) -> String {
    let rounded = format!("{value:.1}");
    let short = rounded.strip_suffix(".0").unwrap_or(&rounded);
    format!("{short} {unit}").trim_end().to_owned()
}

/// What is known, in words.
pub(crate) fn description(alert: &Alert) -> String {
    let care: Vec<_> = alert.care.iter().map(|care| care.name()).collect();
    let care = if care.is_empty() { String::new() } else { format!(" ({})", care.join(", ")) };
    let value = alert.value.map_or_else(|| "unknown".to_owned(), |value| quantity(value, &alert.unit));
    let since = |word: &str, at: Option<Time>| at.map_or_else(String::new, |at| format!(" {word} {at}."));
    format!(
        "{}: {}{care} is {value}. Raised {}.{}{}",
        alert.name,
        alert.measure,
        alert.raised_at,
        since("Acknowledged", alert.acknowledged_at),
        since("Over", alert.cleared_at)
    )
}

/// A time as CAP demands it: whole seconds, and UTC as `-00:00` (CAP 1.2 §3.3.2).
fn instant(time: Time) -> String {
    let text = time.to_string();
    format!("{}-00:00", text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds))
}

fn message_type(message: Message) -> &'static str {
    match message {
        Message::Alert => "Alert",
        Message::Update => "Update",
        Message::Cancel => "Cancel",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "Minor",
        Severity::Warning => "Moderate",
        Severity::Severe => "Severe",
        Severity::Critical => "Extreme",
    }
}

fn urgency(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "Future",
        Severity::Warning => "Expected",
        Severity::Severe | Severity::Critical => "Immediate",
    }
}

fn response_type(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "Monitor",
        Severity::Warning => "Prepare",
        Severity::Severe | Severity::Critical => "Execute",
    }
}

#[cfg(test)]
mod tests;
