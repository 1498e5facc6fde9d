//! The picture as text: a table of regions for a terminal, one line for a pipe.
//!
//! In: a [`View`]. Out: text. Pure. Unknown is shown as `?`, never as a number and never green.

use std::fmt::Write as _;

use vardpuls_aggregator::view::View;
use vardpuls_shared::care::CareType;
use vardpuls_shared::feed::{Feed, Figures};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Begins a new picture on a terminal: cursor home, what follows is written over.
pub const HOME: &str = "\x1b[H";

/// Empties a terminal.
pub const CLEAR: &str = "\x1b[2J\x1b[H";

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "?".to_owned(), |n| n.to_string())
}

/// Occupied per hundred staffed; none where either is unknown or nothing is staffed.
fn percent(figures: &Figures) -> Option<u32> {
    let (occupied, staffed) = (figures.occupied?, figures.staffed?);
    (staffed > 0).then(|| (occupied * 100 + staffed / 2) / staffed)
}

fn icu(feed: &Feed) -> Option<&Figures> {
    feed.care.get(&CareType::Icu)
}

fn row(feed: &Feed, name: &str, out: &mut String) {
    let share = percent(&feed.total);
    let colour = match share {
        _ if feed.coverage.fresh < feed.coverage.hospitals => DIM,
        None => DIM,
        Some(n) if n > 95 => RED,
        Some(n) if n > 90 => YELLOW,
        Some(_) => GREEN,
    };
    let share = share.map_or_else(|| "?".to_owned(), |n| format!("{n} %"));
    let icu_free = number(icu(feed).and_then(|f| f.available));
    let total = &feed.total;
    let coverage = format!("{}/{}", feed.coverage.fresh, feed.coverage.hospitals);
    let _ = writeln!(
        out,
        "{name:<28.28} {coverage:>7} {:>8} {:>8} {colour}{share:>6}{PLAIN} {:>6} {icu_free:>8} {:>5} {:>8} {:>8}\x1b[K",
        number(total.staffed),
        number(total.occupied),
        number(total.available),
        number(total.over_capacity),
        number(total.boarding),
        number(total.discharge_ready),
    );
}

/// All regions and the nation, for a terminal. Every line clears its own rest.
pub fn live(view: &View, headline: &str) -> String {
    let mut out = String::with_capacity(4096);
    let _ = writeln!(out, "{headline}\x1b[K\n\x1b[K");
    let _ = writeln!(
        out,
        "{DIM}{:<28} {:>7} {:>8} {:>8} {:>6} {:>6} {:>8} {:>5} {:>8} {:>8}{PLAIN}\x1b[K",
        "region", "fresh", "staffed", "occupied", "share", "free", "icu free", "over", "boarding", "ready"
    );
    for region in view.regions.values() {
        row(region, &region.name, &mut out);
    }
    row(&view.nation, &view.nation.name, &mut out);
    let _ = write!(out, "\x1b[J");
    out
}

/// The nation in one line, for a pipe.
pub fn line(view: &View) -> String {
    let nation = &view.nation;
    let (total, coverage) = (&nation.total, nation.coverage);
    let mut line = format!(
        "{}: {}/{} hospitals fresh, {} stale, {} unknown; occupied {} of {} staffed, {} free",
        nation.name,
        coverage.fresh,
        coverage.hospitals,
        coverage.stale,
        coverage.unknown,
        number(total.occupied),
        number(total.staffed),
        number(total.available),
    );
    if let Some(icu) = icu(nation) {
        let _ = write!(line, "; icu {} of {}", number(icu.occupied), number(icu.staffed));
    }
    if nation.care.len() > 1 {
        let (over, boarding) = (number(total.over_capacity), number(total.boarding));
        let _ = write!(line, "; over capacity {over}, boarding {boarding}");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use vardpuls_shared::clock::Time;
    use vardpuls_shared::count::Counts;
    use vardpuls_shared::feed::{Coverage, Level};

    use super::*;

    fn feed(level: Level, name: &str, total: Figures, fresh: u32) -> Arc<Feed> {
        let coverage = Coverage { hospitals: 2, fresh, stale: 0, unknown: 2 - fresh };
        let (version, number, as_of) = (1, 1, Time(0));
        let (code, name, care) = (String::new(), name.to_owned(), BTreeMap::new());
        Arc::new(Feed { version, number, as_of, level, code, name, total, care, coverage, hospital: None })
    }

    #[test]
    fn unknown_is_a_question_mark_and_never_green() {
        let known = Figures::of(&Counts { staffed: 10, occupied: 5, ..Counts::default() });
        let region = |code: &str| code.parse().expect("valid");
        let view = View {
            number: 1,
            as_of: Time(0),
            nation: feed(Level::Nation, "Sverige", known, 1),
            regions: BTreeMap::from([
                (region("01"), feed(Level::Region, "Known", known, 2)),
                (region("03"), feed(Level::Region, "Silent", Figures::default(), 0)),
            ]),
            hospitals: BTreeMap::new(),
        };
        let text = live(&view, "headline");
        let of = |name: &str| text.lines().find(|l| l.starts_with(name)).expect("a row").to_owned();
        assert!(of("Known").contains(GREEN) && of("Known").contains("50 %"));
        assert!(of("Silent").contains('?') && !of("Silent").contains(GREEN) && !of("Silent").contains(" 0 "));
        assert!(!of("Sverige").contains(GREEN), "one of two is not green");
        assert!(line(&view).contains("1/2 hospitals fresh"));
    }
}
