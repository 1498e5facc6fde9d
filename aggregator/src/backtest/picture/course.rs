//! A series with its threshold, its episodes and the alarms of a rule.

use vardpuls_shared::clock::Time;

use super::{Axis, Canvas, plain};
use crate::alert::measure::Worse;
use crate::alert::rule::Rule;
use crate::alert::rules::Rules;
use crate::backtest::episode::{Span, episodes};
use crate::backtest::history::Series;
use crate::backtest::replay::{Run, replay};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 420.0;

/// Left, right, top, bottom of the plot; the lanes of episodes and alarms lie below it.
const PLOT: (f64, f64, f64, f64) = (90.0, 1180.0, 70.0, 300.0);
const LANES: [f64; 2] = [316.0, 342.0];
const LANE: f64 = 18.0;

/// What is drawn.
struct Course {
    shown: Span,
    points: Vec<(Time, Option<f64>)>,
    episodes: Vec<Span>,
    alarms: Vec<Span>,
    x: Axis,
    y: Axis,
}

/// The picture of a rule at a series, over the judged span.
pub fn course(rule: &Rule, rules: &Rules, series: &Series, judged: Span) -> String {
    let course = Course::of(rule, rules, series, judged);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    canvas.heading(&format!("{} at {}: {}, {}", rule.name, series.scope, rule.measure, rule.measure.unit()));
    let word = if rule.measure.worse() == Worse::High { "or more" } else { "or less" };
    let raise = format!("raised at {} {word}", plain(rule.raise.at));
    canvas.text(20.0, 50.0, "start", format_args!("dashed line: {raise}; hatched: episodes; filled: alarms"));
    course.bands(&mut canvas);
    course.axes(&mut canvas);
    course.line(&mut canvas, series);
    let (left, right, ..) = PLOT;
    let threshold = course.y.at(rule.raise.at);
    let dashed = "stroke=\"#c2410c\" stroke-width=\"1.5\" stroke-dasharray=\"7 4\"";
    canvas.line((left, threshold), (right, threshold), dashed);
    let description = format!(
        "{} of {} from {} to {}: {} episodes and {} alarms of the rule {}, {raise}.",
        rule.measure,
        series.scope,
        course.shown.from,
        course.shown.to,
        course.episodes.len(),
        course.alarms.len(),
        rule.name,
    );
    canvas.finish(&format!("{} at {}", rule.name, series.scope), &description)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in an f64")]
fn number(time: Time) -> f64 {
    time.0 as f64
}

impl Course {
    fn of(rule: &Rule, rules: &Rules, series: &Series, judged: Span) -> Course {
        let Run { values, alarms } = replay(rule, rules, series);
        let shown = judged.within(Span { from: series.start(), to: series.end() });
        let cut = |spans: Vec<Span>| -> Vec<Span> {
            spans.into_iter().map(|span| span.within(shown)).filter(|span| span.from < span.to).collect()
        };
        let (episodes, alarms) = (cut(episodes(rule, series, &values)), cut(alarms));
        let times = series.samples.iter().map(|sample| sample.time);
        let points: Vec<(Time, Option<f64>)> = times.zip(values).filter(|(time, _)| shown.has(*time)).collect();
        let known = || points.iter().filter_map(|(_, value)| *value).chain([rule.raise.at]);
        let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        let room = ((high - low) * 0.05).max(1.0);
        let (left, right, top, bottom) = PLOT;
        let until = number(shown.to.max(Time(shown.from.0 + 1)));
        Course {
            shown,
            points,
            episodes,
            alarms,
            x: Axis { low: number(shown.from), high: until, from: left, to: right },
            y: Axis { low: low - room, high: high + room, from: bottom, to: top },
        }
    }

    fn at(&self, time: Time) -> f64 {
        self.x.at(number(time))
    }

    /// Episodes behind the line and in their lane, alarms in theirs.
    fn bands(&self, canvas: &mut Canvas) {
        let (left, _, top, bottom) = PLOT;
        canvas.put(format_args!(
            "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#dbe7f5\"/>\
             <rect width=\"2\" height=\"6\" fill=\"#1f5fa8\"/></pattern></defs>"
        ));
        let mut draw = |spans: &[Span], y: f64, height: f64, fill: &str| {
            for span in spans {
                let (start, Span { from, to }) = (self.at(span.from), span);
                let width = (self.at(*to) - start).max(1.0);
                canvas.put(format_args!(
                    "<rect x=\"{start:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\">\
                     <title>{from} to {to}</title></rect>"
                ));
            }
        };
        draw(&self.episodes, top, bottom - top, "#eef3fa");
        draw(&self.episodes, LANES[0], LANE, "url(#hatch)");
        draw(&self.alarms, LANES[1], LANE, "#c2410c");
        canvas.text(left - 8.0, LANES[0] + 13.0, "end", "episodes");
        canvas.text(left - 8.0, LANES[1] + 13.0, "end", "alarms");
    }

    fn axes(&self, canvas: &mut Canvas) {
        let (left, right, _, bottom) = PLOT;
        for tick in self.y.ticks(5.0) {
            canvas.line((left, self.y.at(tick)), (right, self.y.at(tick)), "stroke=\"#dde3ea\"");
            canvas.text(left - 8.0, self.y.at(tick) + 4.0, "end", plain(tick));
        }
        canvas.line((left, bottom), (right, bottom), "stroke=\"#5b6675\"");
        for sixth in 0..=6_u32 {
            let time = self.shown.from.plus(self.shown.length() * sixth / 6);
            let text = time.to_string();
            canvas.line((self.at(time), bottom), (self.at(time), bottom + 5.0), "stroke=\"#5b6675\"");
            let anchor = if sixth == 6 { "end" } else { "middle" };
            let text = text.get(..16).unwrap_or(&text).replace('T', " ");
            canvas.text(self.at(time), LANES[1] + LANE + 20.0, anchor, text);
        }
        canvas.text(right, HEIGHT - 12.0, "end", "UTC");
    }

    /// The values; where nothing is known the line is broken.
    fn line(&self, canvas: &mut Canvas, series: &Series) {
        const STYLE: &str = "stroke=\"#1c2430\" stroke-width=\"1.2\"";
        let mut piece: Vec<(f64, f64)> = Vec::new();
        let mut before = None;
        for &(time, value) in &self.points {
            let broken = value.is_none() || before.is_some_and(|before| time.since(before) > series.validity());
            if broken && !piece.is_empty() {
                canvas.path(piece.drain(..), STYLE);
            }
            piece.extend(value.map(|value| (self.at(time), self.y.at(value))));
            before = Some(time);
        }
        canvas.path(piece.into_iter(), STYLE);
    }
}
