//! The status as metrics for the textfile collector of Prometheus' node exporter.
//!
//! In: the document, or none where no agent answers. Out: text in the exposition format, written as
//! a whole: beside the file first, then renamed, so that no half is ever read.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use vardpuls_shared::clock::Time;

use super::{Source, Status};

/// The metrics. Without an agent there is one: that it is not up.
pub fn render(status: Option<&Status>) -> String {
    let mut page = Page::default();
    page.gauge("up", "Whether the agent answers on its status socket.", u8::from(status.is_some()));
    let Some(status) = status else { return page.text };
    page.labels = vec![("hospital", status.hospital.to_string())];
    let about = [("version", status.agent.clone()), ("fingerprint", status.fingerprint.clone())];
    page.family("info", "gauge", "The agent's version and its key's fingerprint.");
    page.sample("info", &about, 1);
    page.time("start_time_seconds", "When the agent started.", Some(status.started_at));
    let connected = u8::from(status.connection.connected);
    page.gauge("broker_connected", "Whether the connection to the broker stands.", connected);
    page.counter("broker_failures_total", "Connections lost or not made since the start.", status.connection.failures);
    let report = status.report.as_ref();
    page.time("last_report_timestamp_seconds", "When the newest report was made.", report.map(|r| r.at));
    let observed = report.map(|r| r.observed_at);
    page.time("last_report_observed_timestamp_seconds", "When the newest report's counts held.", observed);
    let receipt = status.receipt.as_ref();
    page.time("last_receipt_timestamp_seconds", "When the newest receipt came.", receipt.map(|r| r.at));
    page.gauge("wards_reported", "Wards that the newest report vouches for.", report.map_or(0, |r| r.wards));
    page.gauge("wards", "Wards in the roster.", status.bounds.wards);
    page.gauge("valid_for_seconds", "How long a report may be relied on.", status.bounds.valid_for);
    page.gauge("report_failing", "Whether reports cannot be kept now.", u8::from(status.report_error.is_some()));
    let not_believed = "Messages on the receipt topic that were not believed since the start.";
    page.counter("receipts_not_believed_total", not_believed, status.receipts_not_believed);
    if let Some(outbox) = &status.outbox {
        page.gauge("outbox_reports", "Reports that wait for a receipt.", outbox.held);
        page.gauge("outbox_bytes", "Their bytes.", outbox.bytes);
        page.gauge("outbox_limit_bytes", "Bytes that may wait.", status.bounds.max_bytes);
        page.time("outbox_oldest_timestamp_seconds", "When the oldest of them was made.", outbox.oldest);
        page.counter("reports_receipted_total", "Reports that the centre has stored.", outbox.released);
        page.counter("reports_refused_total", "Reports that the centre refuses.", outbox.refused);
        page.counter("reports_dropped_total", "Reports dropped without receipt: a gap.", outbox.dropped);
    }
    if let Some(drift) = status.clock {
        let (ahead, give) = drift.about();
        page.gauge("clock_ahead_seconds", "How far the clock is ahead of the centre's.", Milliseconds(ahead));
        let give = Milliseconds(i64::try_from(give).unwrap_or(i64::MAX));
        page.gauge("clock_uncertainty_seconds", "How far the truth may be from clock_ahead_seconds.", give);
    }
    sources(&mut page, status);
    page.text
}

fn sources(page: &mut Page, status: &Status) {
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Source) -> Option<String>| {
        page.family(name, kind, help);
        for (source, seen) in &status.sources {
            if let Some(value) = value(seen) {
                page.sample(name, &[("source", source.clone())], value);
            }
        }
    };
    let count = |n: usize| Some(n.to_string());
    family("source_failing", "gauge", "Whether the source cannot be read now.", &|s| {
        count(usize::from(s.error.is_some()))
    });
    family("source_read_timestamp_seconds", "gauge", "When the source last said something new.", &|s| {
        s.read_at.map(|at| Milliseconds::of(at).to_string())
    });
    family("source_wards", "gauge", "Wards that the source then gave counts for.", &|s| count(s.wards));
    family("source_spoiled_wards", "gauge", "Wards that a wrong value spoiled.", &|s| count(s.spoiled));
    family("source_unmapped_names", "gauge", "Names in it that are no ward of the config.", &|s| {
        count(s.unmapped.len())
    });
    family("source_errors_total", "counter", "Readings that failed since the start.", &|s| Some(s.errors.to_string()));
}

/// Writes the metrics; `-` is standard output.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    if file == Path::new("-") {
        return io::stdout().lock().write_all(text.as_bytes());
    }
    let mut name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // The collector reads *.prom only, so that it never sees this one.
    name.push(format!(".{}", std::process::id()));
    let beside = file.with_file_name(name);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // What could not be renamed helps nobody.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Milliseconds, shown as seconds with three decimals, exactly.
struct Milliseconds(i64);

impl Milliseconds {
    fn of(time: Time) -> Milliseconds {
        Milliseconds(i64::try_from(time.0).unwrap_or(i64::MAX))
    }
}

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, ms) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:03}", ms / 1000, ms % 1000)
    }
}

#[derive(Default)]
struct Page {
    text: String,
    labels: Vec<(&'static str, String)>,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP vardpuls_agent_{name} {help}\n# TYPE vardpuls_agent_{name} {kind}");
    }

    fn sample(&mut self, name: &str, more: &[(&'static str, String)], value: impl std::fmt::Display) {
        let label = |(name, value): &(&str, String)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        };
        let labels: Vec<_> = self.labels.iter().chain(more).map(label).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "vardpuls_agent_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A point in time; what never was is left out, because zero would be 1970.
    fn time(&mut self, name: &str, help: &str, at: Option<Time>) {
        if let Some(at) = at {
            self.gauge(name, help, Milliseconds::of(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{board, healthy};
    use super::*;

    #[test]
    fn what_is_and_only_what_is_has_a_metric() {
        let text = render(Some(&healthy()));
        for line in [
            "vardpuls_agent_up 1",
            "vardpuls_agent_last_receipt_timestamp_seconds{hospital=\"h\"} 1090.200",
            "vardpuls_agent_reports_receipted_total{hospital=\"h\"} 3",
            "vardpuls_agent_source_failing{hospital=\"h\",source=\"beds\"} 0",
            "vardpuls_agent_clock_uncertainty_seconds{hospital=\"h\"} 0.100",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
        }
        let started = render(Some(&board().read(Time(0))));
        assert!(!started.contains("receipt_timestamp") && !started.contains("clock"), "{started}");
        assert_eq!(render(None).lines().last(), Some("vardpuls_agent_up 0"));
    }

    #[test]
    fn a_label_cannot_break_the_format() {
        let mut status = healthy();
        let seen = status.sources["beds"].clone();
        status.sources.insert("a\"b\\c\nd".into(), seen);
        assert!(render(Some(&status)).contains(r#"source="a\"b\\c\nd"} 1"#));
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("vardpuls.prom");
        write(&file, "a\n").expect("written");
        write(&file, "b\n").expect("written");
        assert_eq!(fs::read_to_string(&file).expect("there"), "b\n");
        assert!(write(&folder.path().join("no/such.prom"), "c").is_err());
        fs::create_dir(folder.path().join("folder.prom")).expect("made");
        assert!(write(&folder.path().join("folder.prom"), "c").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 2);
    }
}
