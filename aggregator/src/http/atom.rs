//! The newest messages about alarms as an Atom feed (RFC 4287), each with its CAP 1.2 message in it.
//!
//! For whoever asks now and then. Ids are stable: they are taken from the centre's key and the message's
//! place in the journal. The `ETag` is the newest message, so that asking when nothing is new costs little.

use std::collections::{BTreeMap, HashMap};
use std::io;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use vardpuls_shared::alert::AlertId;
use vardpuls_shared::clock::Time;
use vardpuls_shared::key::PublicKey;

use super::HttpState;
use super::problem::Problem;
use crate::alert::entry::{Entry, Message, Said};
use crate::cap::{self, Earlier, Xml};
use crate::store::{JournalQuery, Store, StoreError};

/// How many messages it shows.
const NEWEST: u32 = 100;

/// How many earlier messages of one alarm a message can refer to.
const MOST_EARLIER: u32 = 1000;

/// The newest messages about alarms, as an Atom feed of CAP 1.2 messages
#[utoipa::path(get, path = "/api/v1/alerts.atom", tag = "alarms",
    responses((status = 200, description = "Atom (RFC 4287) of CAP 1.2 messages, the newest 100", body = String,
            content_type = "application/atom+xml"),
        (status = 304, description = "Nothing since the ETag that If-None-Match names"),
        (status = 503, description = "The store cannot be read", body = super::problem::ProblemBody)))]
pub(super) async fn atom(State(state): State<HttpState>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let newest = said(&state.store, None, u64::MAX, NEWEST).await?;
    let tag = newest.first().map_or_else(|| "\"none\"".to_owned(), |e| format!("\"{}-{}\"", e.number, e.at.0));
    let tag = HeaderValue::from_str(&tag).expect("digits in quotes are a header");
    let asked = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = asked.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.trim_start_matches("W/").as_bytes() == tag.as_bytes()
    });
    if known {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let earlier = earlier(&state.store, &newest).await?;
    let (code, name) = {
        let view = state.view.load();
        (view.nation.code.clone(), view.nation.name.clone())
    };
    let feed = Feed { sender: format!("vardpuls.{code}"), name, key: state.public_key, itself: uri.path().to_owned() };
    let body = feed.document(&newest, &earlier);
    let kind = HeaderValue::from_static("application/atom+xml; charset=utf-8");
    // To be kept and asked about, unlike the rest of the interface.
    let cache = HeaderValue::from_static("no-cache");
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, tag), (header::CACHE_CONTROL, cache)], body).into_response())
}

/// What was said before an entry, the newest first.
async fn said(store: &Store, alarm: Option<&AlertId>, before: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let before = (before < u64::MAX).then_some(before);
    store
        .journal(&JournalQuery { after: 0, before, alarm: alarm.cloned(), said_only: true, limit, newest_first: true })
        .await
}

/// The messages before those shown, by alarm, oldest first; read only for alarms that began before.
async fn earlier(store: &Store, newest: &[Entry]) -> Result<HashMap<AlertId, Vec<Entry>>, StoreError> {
    let oldest_shown: BTreeMap<_, _> = newest
        .iter()
        .filter_map(|entry| entry.said.as_ref().map(|said| (&said.alert.id, (entry.number, said.message))))
        .collect();
    let mut earlier = HashMap::new();
    for (alarm, (number, message)) in oldest_shown {
        if message != Message::Alert {
            let mut entries = said(store, Some(alarm), number, MOST_EARLIER).await?;
            entries.reverse();
            earlier.insert(alarm.clone(), entries);
        }
    }
    Ok(earlier)
}

/// The feed as a whole.
struct Feed {
    sender: String,
    name: String,
    key: PublicKey,
    itself: String,
}

impl Feed {
    /// The document for these entries, the newest first, with what was said before them.
    fn document(&self, newest: &[Entry], earlier: &HashMap<AlertId, Vec<Entry>>) -> String {
        let mut xml = Xml::document();
        self.write(&mut xml, newest, earlier).expect("writing to memory cannot fail");
        xml.finish()
    }

    fn write(&self, xml: &mut Xml, newest: &[Entry], earlier: &HashMap<AlertId, Vec<Entry>>) -> io::Result<()> {
        // Oldest first, so that each message finds those before it.
        let mut since: HashMap<&AlertId, Vec<Earlier>> = HashMap::new();
        for entry in earlier.values().flatten() {
            remember(&mut since, entry);
        }
        let mut shown = Vec::new();
        for entry in newest.iter().rev() {
            if let Some(said) = &entry.said {
                let previous = match said.message {
                    Message::Alert => Vec::new(),
                    Message::Update | Message::Cancel => since.get(&said.alert.id).cloned().unwrap_or_default(),
                };
                shown.push((entry, said, previous));
                remember(&mut since, entry);
            }
        }
        let updated = newest.first().map_or(Time(0), |entry| entry.at);
        xml.element("feed", &[("xmlns", "http://www.w3.org/2005/Atom")], |xml| {
            xml.text("id", &self.id("feed"))?;
            xml.text("title", &format!("{}: alarms", self.name))?;
            xml.text("updated", &updated.to_string())?;
            xml.element("author", &[], |xml| xml.text("name", &self.sender))?;
            xml.empty("link", &[("rel", "self"), ("type", "application/atom+xml"), ("href", &self.itself)])?;
            shown.iter().rev().try_for_each(|(entry, said, previous)| self.entry(xml, entry, said, previous))
        })
    }

    fn entry(&self, xml: &mut Xml, entry: &Entry, said: &Said, previous: &[Earlier]) -> io::Result<()> {
        let alert = &said.alert;
        xml.element("entry", &[], |xml| {
            xml.text("id", &self.id(&cap::identifier(alert, entry.number)))?;
            xml.text("title", &cap::headline(alert))?;
            xml.text("updated", &entry.at.to_string())?;
            xml.text("summary", &cap::description(alert))?;
            xml.empty("category", &[("term", alert.severity.name())])?;
            xml.element("content", &[("type", "application/cap+xml")], |xml| {
                cap::write(xml, entry, said, &self.sender, previous)
            })
        })
    }

    /// A name that no other centre gives: a UUID of version 8 over the centre's key and ours for it (RFC 9562 §5.8).
    fn id(&self, name: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{} {name}", self.key).as_bytes());
        let mut bytes: [u8; 16] = digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = format!("{:032x}", u128::from_be_bytes(bytes));
        format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

fn remember<'a>(since: &mut HashMap<&'a AlertId, Vec<Earlier>>, entry: &'a Entry) {
    let Some(said) = &entry.said else { return };
    let messages = since.entry(&said.alert.id).or_default();
    if said.message == Message::Alert {
        messages.clear();
    }
    messages.push(Earlier { number: entry.number, sent: entry.at });
}
