//! Pictures of a report, as SVG: light, readable without colour, each with a title and a description.
//!
//! | file | shows |
//! |---|---|
//! | [`scatter`] | delay against false alarms: a rule among the plain ones |
//! | [`course`] | a series with its episodes and alarms |
//!
//! Here: the canvas and the axes that both draw on.

pub mod course;
pub mod scatter;

use std::fmt::{self, Display, Write};

/// A picture that is being drawn.
struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

/// A stretch of an axis: values from `low` to `high` lie at `from` to `to`.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values, about `n` of them.
    fn ticks(&self, n: f64) -> impl Iterator<Item = f64> + use<> {
        let rough = (self.high - self.low) / n;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|step| *step >= rough);
        let (step, high) = (step.unwrap_or(rough), self.high + rough * 1e-6);
        let first = (self.low / step - 1e-6).ceil();
        (0..1000).map(move |n| (first + f64::from(n)) * step).take_while(move |tick| *tick <= high)
    }
}

impl Canvas {
    fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, body: String::new() }
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        self.body.write_fmt(element).and_then(|()| self.body.write_char('\n')).expect("a String takes everything");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: impl Display) {
        let text = escaped(&text.to_string());
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    fn heading(&mut self, text: &str) {
        let text = escaped(text);
        self.put(format_args!("<text x=\"20\" y=\"26\" font-size=\"16\" font-weight=\"600\">{text}</text>"));
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        self.put(format_args!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" fill=\"none\" {style}/>"));
    }

    fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, style: &str) {
        let mut d = String::new();
        for (x, y) in points {
            let letter = if d.is_empty() { 'M' } else { 'L' };
            write!(d, "{letter}{x:.1} {y:.1}").expect("a String takes everything");
        }
        self.put(format_args!("<path d=\"{d}\" fill=\"none\" {style}/>"));
    }

    /// The finished document.
    fn finish(self, title: &str, description: &str) -> String {
        let Canvas { width, height, body } = self;
        let (title, description) = (escaped(title), escaped(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title description\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#1c2430\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number without needless digits.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
