//! A JSON document behind an URL: an answer in, an [`Observation`] out.
//!
//! Either an array of rows, whose columns are JSON pointers into a row, or a set of pointers for each
//! ward. A value that is `null` or not there was not reported. A pointer to a ward, to staffed or to
//! occupied that finds nothing in the whole document puts the document in doubt: its shape has changed.

use std::borrow::Cow;

use hyper::header::HeaderValue;
use serde_json::Value;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::WardId;

use super::gathering::{Gathering, WardTwice};
use super::http::{Answer, Http, HttpFault, HttpSpec};
use super::mapping::{Field, Mapping, TimeFrom, WardFrom};
use super::{CellPlace, Observation, Origin, SourceError};

/// How to read one JSON endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSpec {
    /// How to ask.
    pub http: HttpSpec,
    /// What the answer looks like.
    pub shape: Shape,
}

/// What a document looks like.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// An array of rows.
    Rows {
        /// The pointer to the array.
        array: String,
        /// What its rows mean; columns are pointers into a row.
        mapping: Mapping,
    },
    /// Pointers from the root, for each ward: mappings with a constant ward.
    Wards(Vec<Mapping>),
}

impl Shape {
    /// Whether it counts patients.
    pub fn gives_occupied(&self) -> bool {
        match self {
            Shape::Rows { mapping, .. } => mapping.gives_occupied(),
            Shape::Wards(wards) => wards.iter().any(Mapping::gives_occupied),
        }
    }
}

/// Why an endpoint could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpFault),
    /// Not JSON.
    #[error("line {line}, column {column}: the answer is not JSON; check url, a login page perhaps stands in the way")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// No rows where they should be.
    #[error("{array:?} points to no array; correct array in the config")]
    NoArray {
        /// The pointer.
        array: String,
    },
    /// An array of nothing.
    #[error("{array:?} points to an empty array; the system behind it has perhaps lost its data")]
    Empty {
        /// The pointer.
        array: String,
    },
    /// A pointer that finds nothing anywhere.
    #[error("{pointer:?} points to nothing in the whole answer; correct {key} in the config")]
    NoValue {
        /// The pointer.
        pointer: String,
        /// Where the config gives it.
        key: String,
    },
    /// Two rows about one ward.
    #[error(
        "elements {first} and {second} of {array:?} are both about ward {ward}, and counts are never added up; select \
         one with [source.rows] or [source.wards]"
    )]
    WardTwice {
        /// The pointer to the array.
        array: String,
        /// The ward.
        ward: WardId,
        /// An element about it, from 0.
        first: u64,
        /// Another.
        second: u64,
    },
}

/// Reads one endpoint, again and again.
#[derive(Debug)]
pub(super) struct JsonReader {
    http: Http,
    shape: Shape,
    last: Option<(HeaderValue, Observation)>,
}

impl JsonReader {
    pub(super) fn new(spec: JsonSpec) -> JsonReader {
        JsonReader { http: Http::new(spec.http), shape: spec.shape, last: None }
    }

    pub(super) async fn read(&mut self, now: Time) -> Result<Observation, SourceError> {
        let url = self.http.spec().url.clone();
        self.try_read(&url, now).await.map_err(|fault| SourceError::new(Origin::url(&url), fault))
    }

    async fn try_read(&mut self, url: &hyper::Uri, now: Time) -> Result<Observation, JsonFault> {
        let etag = self.last.as_ref().map(|(etag, _)| etag.clone());
        match self.http.get(url, "application/json", None, etag).await? {
            Answer::Unchanged => match &mut self.last {
                Some((_, seen)) => {
                    renew(seen, &self.shape, now);
                    Ok(seen.clone())
                }
                // We did not ask whether it changed.
                None => Err(HttpFault::Status(304).into()),
            },
            Answer::Body(body, etag) => {
                self.last = None;
                let seen = parse(&body, &self.shape, now)?;
                self.last = etag.map(|etag| (etag, seen.clone()));
                Ok(seen)
            }
        }
    }
}

/// What is still so, is so now: where the document does not say since when.
fn renew(seen: &mut Observation, shape: &Shape, now: Time) {
    let dated = match shape {
        Shape::Rows { mapping, .. } => mapping.time != TimeFrom::Reading,
        Shape::Wards(wards) => wards.iter().any(|mapping| mapping.time != TimeFrom::Reading),
    };
    if !dated {
        seen.at = now;
        for ward in seen.wards.values_mut() {
            ward.at = now;
        }
    }
}

/// Reads a document that was answered at `now`.
pub fn parse(body: &[u8], shape: &Shape, now: Time) -> Result<Observation, JsonFault> {
    // serde_json's messages may quote what they found; the place is enough.
    let document: Value =
        serde_json::from_slice(body).map_err(|e| JsonFault::NotJson { line: e.line(), column: e.column() })?;
    match shape {
        Shape::Rows { array, mapping } => rows(&document, array, mapping, now),
        Shape::Wards(wards) => pointers(&document, wards, now),
    }
}

fn rows(document: &Value, array: &str, mapping: &Mapping, now: Time) -> Result<Observation, JsonFault> {
    let elements = document.pointer(array).and_then(Value::as_array);
    let elements = elements.ok_or_else(|| JsonFault::NoArray { array: array.to_owned() })?;
    if elements.is_empty() {
        return Err(JsonFault::Empty { array: array.to_owned() });
    }
    for (pointer, key) in needed(mapping) {
        if elements.iter().all(|element| element.pointer(pointer).is_none()) {
            return Err(JsonFault::NoValue { pointer: pointer.to_owned(), key });
        }
    }
    let mut gathering = Gathering::new(mapping);
    for (number, element) in (0..).zip(elements) {
        let place = |pointer: &str| CellPlace::Pointer(format!("{array}/{number}{pointer}"));
        gathering.take(number, |pointer| value(element, pointer), place).map_err(
            |WardTwice { ward, first, second }| JsonFault::WardTwice { array: array.to_owned(), ward, first, second },
        )?;
    }
    Ok(gathering.finish(now))
}

fn pointers(document: &Value, wards: &[Mapping], now: Time) -> Result<Observation, JsonFault> {
    let mut whole: Option<Observation> = None;
    for mapping in wards {
        for (pointer, key) in needed(mapping) {
            if document.pointer(pointer).is_none() {
                return Err(JsonFault::NoValue { pointer: pointer.to_owned(), key });
            }
        }
        let mut gathering = Gathering::new(mapping);
        let place = |pointer: &str| CellPlace::Pointer(pointer.to_owned());
        gathering.take(0, |pointer| value(document, pointer), place).expect("one row is never about a ward twice");
        let seen = gathering.finish(now);
        match &mut whole {
            None => whole = Some(seen),
            Some(whole) => {
                whole.at = whole.at.min(seen.at);
                whole.wards.extend(seen.wards);
                whole.spoiled.extend(seen.spoiled);
                whole.not_reported.extend(seen.not_reported);
            }
        }
    }
    Ok(whole.unwrap_or_default())
}

/// What must be somewhere in the document. Extras may be left out where they are none.
fn needed(mapping: &Mapping) -> impl Iterator<Item = (&str, String)> {
    let of = match &mapping.ward {
        WardFrom::Constant(ward) => format!("source.pointers.{ward}"),
        WardFrom::Column { .. } => "source.columns".to_owned(),
    };
    let ward = match &mapping.ward {
        WardFrom::Constant(_) => None,
        WardFrom::Column { header, .. } => Some((header.as_str(), format!("{of}.ward"))),
    };
    let time = match &mapping.time {
        TimeFrom::Reading => None,
        TimeFrom::Column { header, .. } => Some((header.as_str(), format!("{of}.time"))),
    };
    let counts = mapping.counts.iter().filter(|(field, _)| matches!(field, Field::Staffed | Field::Occupied));
    let counts = counts.map(move |(field, header)| (header.as_str(), format!("{of}.{}", field.name())));
    ward.into_iter().chain(time).chain(counts)
}

/// The text of a value; what is no single value cannot be a count, and the error says so.
fn value<'v>(row: &'v Value, pointer: &str) -> Option<Cow<'v, str>> {
    match row.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text.trim())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Array(_) => Some(Cow::Borrowed("[…]")),
        Value::Object(_) => Some(Cow::Borrowed("{…}")),
    }
}

#[cfg(test)]
mod tests;
