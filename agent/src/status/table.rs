//! The status as lines for people.
//!
//! In: the document, or the account of a stopped agent's outbox. Out: text.

use std::fmt::Write as _;

use crate::outbox::{Contents, Refused, Summary};
use crate::source::adt::tally::Tally;

use super::Status;

/// The document as lines for people.
pub fn render(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |word: &str, text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{word:<14}{text}");
    };
    let connection = &status.connection;
    line("hospital", status.hospital.to_string());
    line("fingerprint", status.fingerprint.clone());
    let since = connection.since.map_or(String::new(), |t| format!(" since {t}"));
    let state = if connection.connected { "connected" } else { "not connected" };
    line("broker", format!("{}, {state}{since}", connection.broker));
    if let Some(e) = &connection.last_error {
        line("", format!("last error: {e}"));
    }
    for (name, source) in &status.sources {
        let read = source.read_at.map_or("never read".into(), |t| format!("read {t}, {} wards", source.wards));
        let some = |n: usize, what: &str| if n > 0 { format!(", {n} {what}") } else { String::new() };
        let (spoiled, silent) = (some(source.spoiled, "spoiled"), some(source.not_reported, "not reported"));
        line("source", format!("{name}: {read}{spoiled}{silent}, {} errors", source.errors));
        for text in source.adt.iter().flat_map(Tally::lines) {
            line("", text);
        }
        if let Some(e) = &source.error {
            line("", e.clone());
        }
        if !source.unmapped.is_empty() {
            let names: Vec<_> = source.unmapped.iter().map(|n| format!("{n:?}")).collect();
            line("", format!("no ward of the config: {}", names.join(", ")));
        }
    }
    line("roster", format!("version {}", status.roster));
    line(
        "last report",
        match &status.report {
            Some(r) => {
                let (wards, of) = (r.wards, status.bounds.wards);
                format!("{} at {}, {wards} of {of} wards, observed {}", r.sequence, r.at, r.observed_at)
            }
            None => "none since the start".into(),
        },
    );
    if let Some(e) = &status.report_error {
        line("", e.clone());
    }
    line(
        "last receipt",
        match &status.receipt {
            Some(r) => format!("at {}", r.at),
            None => "none since the start".into(),
        },
    );
    if let Some(drift) = status.clock {
        line("clock", drift.to_string());
    }
    if let Some(e) = &status.last_not_believed {
        line("", format!("{} messages were not believed; the last: {e}", status.receipts_not_believed));
    }
    if let Some(outbox) = &status.outbox {
        out.push_str(&render_outbox(outbox, &status.refused));
    }
    out
}

/// The outbox of a stopped agent as lines for people.
pub fn render_contents(contents: &Contents) -> String {
    render_outbox(&contents.summary(), &contents.refused)
}

fn render_outbox(outbox: &Summary, refused: &[Refused]) -> String {
    let mut out = String::new();
    let oldest = outbox.oldest.map_or(String::new(), |t| format!(", the oldest from {t}"));
    let _ = writeln!(out, "{:<14}{} reports without receipt, {} bytes{oldest}", "outbox", outbox.held, outbox.bytes);
    let _ = writeln!(
        out,
        "{:<14}{} receipted, {} refused, {} dropped",
        "", outbox.released, outbox.refused, outbox.dropped
    );
    if outbox.dropped > 0 {
        let _ =
            writeln!(out, "{:<14}dropped reports are a gap in the centre's history: see [outbox] in the config", "");
    }
    for report in refused {
        let _ =
            writeln!(out, "{:<14}{} {} at {}: {}", "refused", report.sequence, report.reason, report.at, report.remedy);
    }
    out
}
