//! How the agent does, in one line: what `systemctl status` shows.
//!
//! Only what a person would act on or be glad to see; nothing that changes with every report.

use crate::status::Status;

/// The line for this status.
pub fn headline(status: &Status) -> String {
    let held = status.outbox.as_ref().map_or(0, |outbox| outbox.held);
    let connection = &status.connection;
    let mut parts = Vec::new();
    if let Some(e) = &status.report_error {
        parts.push(format!("no report can be kept: {e}"));
    }
    parts.push(match (connection.connected, &connection.last_error) {
        (true, _) => format!("connected to {}", connection.broker),
        (false, None) => format!("connecting to {}", connection.broker),
        (false, Some(e)) => format!("no connection to {}: {e}", connection.broker),
    });
    parts.push(match (held, &status.receipt) {
        (0, Some(_)) => "every report is receipted".to_owned(),
        (0, None) => "no report yet".to_owned(),
        (1, _) => "1 report waits for its receipt".to_owned(),
        (n, _) => format!("{n} reports wait for their receipts"),
    });
    for (name, _) in status.sources.iter().filter(|(_, source)| source.error.is_some()) {
        parts.push(format!("source {name} cannot be read"));
    }
    if !status.refused.is_empty() {
        parts.push(format!("{} reports were refused", status.refused.len()));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vardpuls_shared::clock::Time;

    use super::*;
    use crate::config::Config;
    use crate::outbox::Summary;
    use crate::status::{Board, LastReceipt, Source};

    fn holding(held: u64) -> Summary {
        Summary { epoch: 1, next: 20, held, bytes: 0, oldest: None, released: 0, refused: 0, dropped: 0 }
    }

    #[test]
    fn it_says_what_a_person_would_act_on() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml");
        let board = Board::new(&Config::load(&file).expect("the shipped file"), "f".into(), 1, Time(0));
        let line = || headline(&board.read(Time(9)));
        assert_eq!(line(), "connecting to mqtts://broker.example:8883; no report yet");

        board.update(|status| {
            status.connection.last_error = Some("refused".into());
            status.outbox = Some(holding(12));
            let source = Source { error: Some("beds.csv: gone".into()), ..Source::default() };
            status.sources.insert("beds".into(), source);
        });
        let waiting = "no connection to mqtts://broker.example:8883: refused; 12 reports wait for their receipts; source beds cannot be read";
        assert_eq!(line(), waiting);

        board.update(|status| {
            status.connection.connected = true;
            status.sources.clear();
            status.outbox = Some(holding(0));
            status.receipt = Some(LastReceipt { at: Time(8), issued_at: Time(7) });
        });
        assert_eq!(line(), "connected to mqtts://broker.example:8883; every report is receipted");
    }
}
