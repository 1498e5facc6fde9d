//! What the check finds, a line each: how good it is, what it is, what to do about it.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, because of something that another finding names.
    NotTried,
    /// The agent runs, but somebody should look.
    Warning,
    /// The agent cannot report so.
    Failed,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::NotTried => "not tried",
            Level::Warning => "warning",
            Level::Failed => "failed",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `config`, `key`, `tls`, `source beds`, …
    pub step: String,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    fn new(step: &str, level: Level, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { step: step.to_owned(), level, what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn ok(step: &str, what: impl Into<String>) -> Finding {
        Finding::new(step, Level::Ok, what, "")
    }

    pub(super) fn warning(step: &str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(step, Level::Warning, what, remedy)
    }

    pub(super) fn failed(step: &str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(step, Level::Failed, what, remedy)
    }

    pub(super) fn not_tried(step: &str, why: impl Into<String>) -> Finding {
        Finding::new(step, Level::NotTried, why, "")
    }

    /// Our errors read "what is wrong; what to do".
    pub(super) fn of(step: &str, level: Level, error: &impl ToString) -> Finding {
        let text = error.to_string();
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        Finding::new(step, level, what, remedy)
    }

    /// The same, with what to do where the error itself did not say.
    pub(super) fn or_remedy(mut self, remedy: &str) -> Finding {
        if self.remedy.is_empty() {
            remedy.clone_into(&mut self.remedy);
        }
        self
    }

    pub(super) fn is_failed(&self) -> bool {
        self.level == Level::Failed
    }
}

/// Findings as lines for people.
pub fn render(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { step, level, what, remedy } in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{level:<10}{step}: {what}");
        if !remedy.is_empty() {
            let _ = writeln!(out, "{:<10}→ {remedy}", "");
        }
    }
    out
}

/// Findings as JSON.
pub fn render_json(findings: &[Finding]) -> String {
    let text = serde_json::to_string_pretty(findings).expect("levels and text are always JSON");
    text + "\n"
}
