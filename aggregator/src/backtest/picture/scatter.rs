//! Delay against false alarms: where a rule lies among the plain ones on the same data.

use super::{Axis, Canvas, escaped, plain};
use crate::backtest::score::Score;
use crate::backtest::verdict::{Baseline, Verdict};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 480.0;

/// Left, right, top, bottom of the plot.
const PLOT: (f64, f64, f64, f64) = (70.0, 690.0, 100.0, 410.0);

/// Each kind has a shape and a colour of its own.
#[derive(Clone, Copy)]
enum Mark {
    Plain,
    Front,
    Rule,
}

/// The picture; none where nothing was found.
pub fn scatter(rule: &Verdict) -> Option<String> {
    let here = point(&rule.score)?;
    let others: Vec<(&Baseline, (f64, f64))> =
        rule.baselines.iter().filter_map(|baseline| Some((baseline, point(&baseline.score)?))).collect();
    let most = |of: fn(&(f64, f64)) -> f64| others.iter().map(|(_, p)| of(p)).fold(of(&here), f64::max).max(0.1);
    let (left, right, top, bottom) = PLOT;
    let x = Axis { low: 0.0, high: most(|p| p.0) * 1.08, from: left, to: right };
    let y = Axis { low: 0.0, high: most(|p| p.1) * 1.08, from: bottom, to: top };
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    axes(&mut canvas, x, y);
    let place = |(delay, falls): (f64, f64)| (x.at(delay), y.at(falls));
    for (baseline, p) in &others {
        mark(&mut canvas, Mark::Plain, place(*p), &baseline.name);
    }
    let on_front = |name: &String| others.iter().find(|(baseline, _)| baseline.name == *name);
    let front: Vec<_> = rule.front.iter().filter_map(on_front).collect();
    canvas.path(front.iter().map(|(_, p)| place(*p)), "stroke=\"#1f5fa8\" stroke-width=\"1.5\"");
    for (baseline, p) in &front {
        mark(&mut canvas, Mark::Front, place(*p), &baseline.name);
    }
    mark(&mut canvas, Mark::Rule, place(here), &rule.name);
    legend(&mut canvas, rule);
    let description = format!(
        "The rule {} finds {} of {} episodes, {} h late on average, with {} false alarms an episode. Around it {} \
         plain rules on the same threshold, {} of them on their front. Of all of them {} have no more delay and no \
         more false alarms than the rule.",
        rule.name,
        rule.score.found,
        rule.score.episodes,
        plain(here.0),
        plain(here.1),
        others.len(),
        rule.front.len(),
        rule.dominated_by.len(),
    );
    Some(canvas.finish(&format!("{}: delay against false alarms", rule.name), &description))
}

/// Mean delay, false alarms an episode.
fn point(score: &Score) -> Option<(f64, f64)> {
    Some((score.delay_mean_hours?, score.false_per_episode?))
}

fn axes(canvas: &mut Canvas, x: Axis, y: Axis) {
    let (left, right, top, bottom) = PLOT;
    for tick in y.ticks(6.0) {
        canvas.line((left, y.at(tick)), (right, y.at(tick)), "stroke=\"#e4e8ee\"");
        canvas.text(left - 8.0, y.at(tick) + 4.0, "end", plain(tick));
    }
    for tick in x.ticks(8.0) {
        canvas.line((x.at(tick), bottom), (x.at(tick), bottom + 5.0), "stroke=\"#5b6675\"");
        canvas.text(x.at(tick), bottom + 20.0, "middle", plain(tick));
    }
    canvas.line((left, bottom), (right, bottom), "stroke=\"#5b6675\"");
    canvas.line((left, top), (left, bottom), "stroke=\"#5b6675\"");
    canvas.text(right, bottom + 42.0, "end", "mean delay, hours →");
    canvas.text(20.0, top - 14.0, "start", "↑ false alarms an episode");
}

fn legend(canvas: &mut Canvas, rule: &Verdict) {
    let head = format!("{}: {} episodes at {} {}", rule.name, rule.score.episodes, rule.raise_at, rule.unit);
    canvas.heading(&head);
    for (kind, x, text) in [
        (Mark::Rule, 30.0, "this rule"),
        (Mark::Front, 130.0, "front of the plain rules"),
        (Mark::Plain, 320.0, "other plain rules"),
    ] {
        mark(canvas, kind, (x, 50.0), text);
        canvas.text(x + 14.0, 54.0, "start", text);
    }
    canvas.text(20.0, HEIGHT - 12.0, "start", "What was not found has no delay: the share found is in the table.");
}

fn mark(canvas: &mut Canvas, kind: Mark, (x, y): (f64, f64), name: &str) {
    let name = escaped(name);
    let (tag, shape) = match kind {
        Mark::Plain => (
            "circle",
            format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#ffffff\" stroke=\"#7a8594\" stroke-width=\"1.2\""),
        ),
        Mark::Front => {
            ("rect", format!("x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"#1f5fa8\"", x - 4.5, y - 4.5))
        }
        Mark::Rule => (
            "path",
            format!(
                "d=\"M{x:.1} {:.1}l9 9l-9 9l-9 -9z\" fill=\"#c2410c\" stroke=\"#ffffff\" stroke-width=\"1.5\"",
                y - 9.0
            ),
        ),
    };
    canvas.put(format_args!("<{tag} {shape}><title>{name}</title></{tag}>"));
}
