//! `backtest`: rules over a recorded history.
//!
//! In: a CSV file or a store, and rules. Out: a table or JSON on standard output, pictures in a folder.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::TimeZone;
use vardpuls_shared::care::CareType;

use crate::alert::rules::Rules;
use crate::backtest::episode::Span;
use crate::backtest::history::History;
use crate::backtest::moment;
use crate::backtest::picture::course::course;
use crate::backtest::picture::scatter::scatter;
use crate::backtest::verdict::{Report, applicable, judge};

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct Backtest {
    /// The rules; those that ship where there is none.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// A CSV file with the columns scope, time, staffed, occupied and perhaps care, or a Vardpuls store.
    #[arg(long, value_name = "FILE")]
    history: PathBuf,
    /// JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Make this folder, and in it for each rule a picture of delay against false alarms.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Draw this scope too, with its episodes and alarms.
    #[arg(long, value_name = "SCOPE", requires = "pictures")]
    series: Vec<String>,
    /// Count only what began at this time or later; before it is learned only.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Count only what began before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Which beds the history is about, where it does not say; else take these only.
    #[arg(long, value_name = "TYPE")]
    care: Option<CareType>,
    /// Whose clock times without offset and the hours of the day are of, instead of the rules' zone.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

impl Backtest {
    pub(super) fn run(&self) -> Result<(), Box<dyn Error>> {
        let mut rules = Rules::load(self.rules.as_deref())?;
        if let Some(name) = &self.time_zone {
            let zone = TimeZone::get(name)
                .map_err(|_| format!("--time-zone {name}: no such zone; write one such as Europe/Stockholm"))?;
            rules = rules.in_zone(zone);
        }
        let history = History::load(&self.history, rules.zone(), self.care)?;
        let judged = self.judged(&history, rules.zone())?;
        let report = judge(&rules, &history, judged);
        if let Some(folder) = &self.pictures {
            self.draw(folder, &report, &rules, &history)?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &report)?;
            writeln!(out)?;
        } else {
            write!(out, "{report}")?;
        }
        if report.rules.is_empty() {
            return Err("no rule could be judged on this history; see what they need".into());
        }
        Ok(())
    }

    fn judged(&self, history: &History, zone: &TimeZone) -> Result<Span, String> {
        let (first, last) = history.span();
        let read = |name: &str, text: Option<&String>| {
            let wrong = |text: &String| {
                format!("--{name} {text:?} is not a time; write 2023-05-01T00:00:00+02:00 or 2023-05-01")
            };
            text.map(|text| moment(text, zone).ok_or_else(|| wrong(text))).transpose()
        };
        let from = read("from", self.from.as_ref())?.unwrap_or(first).max(first);
        let to = read("to", self.to.as_ref())?.unwrap_or(last).min(last);
        if from >= to {
            return Err(format!("nothing lies between --from and --to: the history has {first} to {last}"));
        }
        Ok(Span { from, to })
    }

    fn draw(&self, folder: &Path, report: &Report, rules: &Rules, history: &History) -> Result<(), Box<dyn Error>> {
        let judged = Span { from: report.from, to: report.to };
        if let Some(scope) = self.series.iter().find(|scope| history.series.iter().all(|of| of.scope != **scope)) {
            return Err(format!("--series {scope}: the history has no such scope").into());
        }
        for verdict in &report.rules {
            let folder = folder.join(&verdict.name);
            std::fs::create_dir_all(&folder)
                .map_err(|e| format!("the folder {} cannot be made: {e}", folder.display()))?;
            if let Some(picture) = scatter(verdict) {
                write_file(&folder.join("delay-false.svg"), &picture)?;
            }
            let rule =
                rules.iter().find(|rule| rule.name == verdict.name).expect("a verdict is about a rule of the set");
            for series in applicable(rule, history)?.into_iter().filter(|of| self.series.contains(&of.scope)) {
                let name: String =
                    series.scope.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
                write_file(&folder.join(format!("{name}.svg")), &course(rule, rules, series, judged))?;
            }
        }
        Ok(())
    }
}

fn write_file(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|e| format!("the picture {} cannot be written: {e}", file.display()))
}
