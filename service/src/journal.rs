//! An event as an entry of the journal: every field a field of its own, so that
//! `journalctl HOSPITAL=… WARD=… REASON=…` finds it.
//!
//! In: `tracing` events, and the spans that they happen in. Out: `log` records with key-values, which
//! is what the journal's client takes: the message as standard error would show it, the event's
//! fields, those of its spans (the innermost wins), `EVENT` and `MESSAGE_ID` where it is one of
//! [`Event`].
//!
//! What a sink cannot take is lost: a log must not stop the work that it tells of.

use std::fmt::{self, Write as _};
use std::io;

use log::Record;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::event::Event;

/// Hands events to a sink, in production the journal's.
#[derive(Debug)]
pub struct Journal<S>(S);

impl<S: Fn(&Record<'_>) -> io::Result<()>> Journal<S> {
    /// A layer that writes to `sink`.
    pub fn new(sink: S) -> Journal<S> {
        Journal(sink)
    }
}

/// Fields in the order in which they were given; a name stands once.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: String) {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// The message and the fields behind it, as on standard error.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
            // Writing to a String cannot fail.
            let _ = if plain { write!(text, " {name}={value}") } else { write!(text, " {name}={value:?}") };
        }
        text
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.set(name, value.to_owned()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<C, S> Layer<C> for Journal<S>
where
    C: Subscriber + for<'a> LookupSpan<'a>,
    S: Fn(&Record<'_>) -> io::Result<()> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, C>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, C>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, C>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let text = own.text();
        let mut all = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer.fields.iter().for_each(|(name, value)| all.set(name, value.clone()));
            }
        }
        own.fields.into_iter().for_each(|(name, value)| all.set(name, value));
        let metadata = event.metadata();
        let kind = Event::named(metadata.name());
        let kind = kind.map(|event| [("event", event.name()), ("message_id", event.id())]);
        let pairs = all.fields.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs: Vec<(&str, &str)> = pairs.chain(kind.into_iter().flatten()).collect();
        let sent = (self.0)(
            &Record::builder()
                .args(format_args!("{text}"))
                .level(level(*metadata.level()))
                .target(metadata.target())
                .module_path(metadata.module_path())
                .file(metadata.file())
                .line(metadata.line())
                .key_values(&pairs)
                .build(),
        );
        // There is nowhere left to say that the log does not work.
        drop(sent);
    }
}

fn level(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use log::kv::{Error, Key, Value, VisitSource};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Default)]
    struct Pairs(BTreeMap<String, Vec<String>>);

    impl<'kvs> VisitSource<'kvs> for Pairs {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            self.0.entry(key.to_string()).or_default().push(value.to_string());
            Ok(())
        }
    }

    type Heard = Arc<Mutex<Vec<(log::Level, String, BTreeMap<String, Vec<String>>)>>>;

    fn hear(work: impl FnOnce()) -> Vec<(log::Level, String, BTreeMap<String, Vec<String>>)> {
        let heard = Heard::default();
        let into = Arc::clone(&heard);
        let sink = move |record: &Record<'_>| {
            let mut pairs = Pairs::default();
            record.key_values().visit(&mut pairs).expect("pairs");
            into.lock().expect("unpoisoned").push((record.level(), record.args().to_string(), pairs.0));
            Err(io::Error::other("a log that fails stops nothing"))
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal::new(sink)), work);
        std::mem::take(&mut heard.lock().expect("unpoisoned"))
    }

    #[test]
    fn fields_are_fields_and_the_message_shows_them() {
        let heard = hear(|| {
            tracing::warn!(name: Event::SourceNotRead.name(), hospital = %"SE1-A", wards = 3,
                reason = "line 2: \"no\"", empty = "", "source {}", "not read");
            tracing::info!("no kind");
        });
        let (level, text, pairs) = &heard[0];
        assert_eq!(*level, log::Level::Warn);
        assert_eq!(text, r#"source not read hospital=SE1-A wards=3 reason="line 2: \"no\"" empty="""#);
        let expected = [
            ("hospital", "SE1-A"),
            ("wards", "3"),
            ("reason", "line 2: \"no\""),
            ("empty", ""),
            ("event", "source-not-read"),
            ("message_id", Event::SourceNotRead.id()),
        ];
        assert_eq!(*pairs, expected.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect());
        assert_eq!(heard[1], (log::Level::Info, "no kind".into(), BTreeMap::new()));
    }

    #[test]
    fn a_spans_fields_are_the_events_and_the_innermost_wins() {
        let heard = hear(|| {
            let outer = tracing::info_span!("outer", hospital = "A", ward = "x", late = tracing::field::Empty);
            let _in_outer = outer.enter();
            outer.record("late", 7);
            let _in_inner = tracing::info_span!("inner", ward = "y").entered();
            tracing::error!(hospital = "B", "said");
        });
        let (_, text, pairs) = &heard[0];
        assert_eq!(text, "said hospital=B");
        let of = |name: &str| pairs.get(name).cloned().unwrap_or_default();
        assert_eq!((of("hospital"), of("ward"), of("late")), (vec!["B".into()], vec!["y".into()], vec!["7".into()]));
    }
}
