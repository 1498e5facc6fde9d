//! A FHIR R4 server: searches for locations and in-progress encounters in, an [`Observation`] out.
//!
//! A search is read page by page, from the same server only, and whole or not at all: a count of some pages would
//! look like a count. Pages are dropped as they are read; of an encounter only status, class and places are kept, and
//! only until they are counted.

mod census;
mod resource;
mod smart;

use hyper::Uri;
use hyper::header::HeaderValue;
use serde::de::DeserializeOwned;
use vardpuls_shared::clock::Time;

pub use census::{Beds, Counting};
pub use smart::{Algorithm, SmartFault, SmartSpec};

use super::http::{Answer, Http, HttpFault, HttpSpec};
use super::{Observation, Origin, SourceError};
use resource::{Bundle, Encounter, Location};

const ACCEPT: &str = "application/fhir+json";

/// How to read one server.
#[derive(Debug, Clone, PartialEq)]
pub struct FhirSpec {
    /// How to ask; its address is the server's base.
    pub http: HttpSpec,
    /// How to get a token, where the server wants one from us.
    pub smart: Option<SmartSpec>,
    /// How many resources are asked for on one page.
    pub page_size: u32,
    /// The most pages of one search.
    pub max_pages: u32,
    /// More of the search for encounters, as in `location.partof=Location/1`.
    pub encounter_query: String,
    /// More of the search for locations.
    pub location_query: String,
    /// How to count.
    pub counting: Counting,
}

/// Why a server could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FhirFault {
    /// No answer.
    #[error("{search}: {fault}")]
    Http {
        /// What was searched for.
        search: &'static str,
        /// Why.
        fault: HttpFault,
    },
    /// No token.
    #[error(transparent)]
    Smart(#[from] SmartFault),
    /// Not what was asked for.
    #[error(
        "{search}: line {line}, column {column}: the answer is no FHIR R4 bundle; url must be the base of an R4 server"
    )]
    NotFhir {
        /// What was searched for.
        search: &'static str,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Not a bundle.
    #[error("{search}: the answer is no bundle; url must be the base of an R4 server")]
    NoBundle {
        /// What was searched for.
        search: &'static str,
    },
    /// A next page somewhere else.
    #[error(
        "{search}: the next page is on another server, which is not asked; ask whoever runs the server to correct its base"
    )]
    Elsewhere {
        /// What was searched for.
        search: &'static str,
    },
    /// No end of pages.
    #[error("{search}: more than the {most} pages of max-pages; narrow the search, or raise page-size or max-pages")]
    TooManyPages {
        /// What was searched for.
        search: &'static str,
        /// How many were read.
        most: u32,
    },
    /// No location at all.
    #[error("the server has no location; check location-query, and what our login may read")]
    NoLocation,
}

/// Reads one server, again and again.
#[derive(Debug)]
pub(super) struct FhirReader {
    spec: FhirSpec,
    http: Http,
    token: Option<smart::Token>,
    locations: Search<Location>,
    encounters: Search<Encounter>,
}

impl FhirReader {
    pub(super) fn new(spec: FhirSpec) -> FhirReader {
        let base = spec.http.url.to_string();
        let base = base.trim_end_matches('/');
        let address = |what: &str, elements: &str, more: &str| {
            let mut address = format!("{base}/{what}_count={}&_elements={elements}", spec.page_size);
            if !more.is_empty() {
                address.push('&');
                address.push_str(more);
            }
            address
        };
        let encounters = address("Encounter?status=in-progress&", resource::ENCOUNTER, &spec.encounter_query);
        let locations = address("Location?", resource::LOCATION, &spec.location_query);
        let http = Http::new(spec.http.clone());
        let encounters = Search { what: "Encounter", first: encounters, kept: None };
        let locations = Search { what: "Location", first: locations, kept: None };
        FhirReader { spec, http, token: None, locations, encounters }
    }

    pub(super) async fn read(&mut self, now: Time) -> Result<Observation, SourceError> {
        let origin = Origin::url(&self.spec.http.url);
        self.try_read(now).await.map_err(|fault| SourceError::new(origin, fault))
    }

    async fn try_read(&mut self, now: Time) -> Result<Observation, FhirFault> {
        let authorization = match &self.spec.smart {
            Some(smart) => Some(smart::authorize(smart, &mut self.http, &mut self.token, now).await?),
            None => None,
        };
        let pages = self.pages(authorization).await;
        if matches!(pages, Err(FhirFault::Http { fault: HttpFault::Forbidden(_), .. })) {
            // The token is perhaps no longer believed, whatever its end was said to be.
            self.token = None;
        }
        let (locations, encounters) = pages?;
        let base = self.spec.http.url.to_string();
        Ok(census::count(&self.spec.counting, &locations, &encounters, base.trim_end_matches('/'), now))
    }

    async fn pages(
        &mut self,
        authorization: Option<HeaderValue>,
    ) -> Result<(Vec<Location>, Vec<Encounter>), FhirFault> {
        let most = self.spec.max_pages;
        let locations = self.locations.run(&mut self.http, authorization.as_ref(), most).await?;
        if locations.is_empty() {
            return Err(FhirFault::NoLocation);
        }
        let encounters = self.encounters.run(&mut self.http, authorization.as_ref(), most).await?;
        Ok((locations, encounters))
    }
}

/// One search, and what it gave when it was one page: only of that the server can say that it did not change.
#[derive(Debug)]
struct Search<R> {
    what: &'static str,
    first: String,
    kept: Option<(HeaderValue, Vec<R>)>,
}

impl<R: DeserializeOwned + Clone> Search<R> {
    async fn run(
        &mut self,
        http: &mut Http,
        authorization: Option<&HeaderValue>,
        most: u32,
    ) -> Result<Vec<R>, FhirFault> {
        let search = self.what;
        let failed = |fault| FhirFault::Http { search, fault };
        let mut url: Uri = self.first.parse().expect("checked with the config");
        let kept = self.kept.take();
        let mut etag = kept.as_ref().map(|(etag, _)| etag.clone());
        let mut found = Vec::new();
        for page in 1..=most {
            let answer = http.get(&url, ACCEPT, authorization.cloned(), etag.take()).await.map_err(failed)?;
            let (body, tag) = match (answer, &kept) {
                (Answer::Unchanged, Some((_, resources))) if page == 1 => {
                    let resources = resources.clone();
                    self.kept = kept;
                    return Ok(resources);
                }
                (Answer::Unchanged, _) => return Err(failed(HttpFault::Status(304))),
                (Answer::Body(body, tag), _) => (body, tag),
            };
            let bundle: Bundle<R> = page_of(search, &body)?;
            found.extend(bundle.entry.into_iter().filter_map(|entry| entry.resource));
            let Some(next) = bundle.link.into_iter().find(|link| link.relation == "next") else {
                if page == 1 {
                    self.kept = tag.map(|tag| (tag, found.clone()));
                }
                return Ok(found);
            };
            url = follow(&url, &next.url).ok_or(FhirFault::Elsewhere { search })?;
        }
        Err(FhirFault::TooManyPages { search, most })
    }
}

/// One page of a search.
fn page_of<R: DeserializeOwned>(search: &'static str, body: &[u8]) -> Result<Bundle<R>, FhirFault> {
    // serde_json's messages may quote what they found; the place is enough.
    let bundle: Bundle<R> =
        serde_json::from_slice(body).map_err(|e| FhirFault::NotFhir { search, line: e.line(), column: e.column() })?;
    if bundle.resource_type == "Bundle" { Ok(bundle) } else { Err(FhirFault::NoBundle { search }) }
}

/// Counts one page of each search: everything between the server's bytes and the observation, for the fuzzer, which
/// has no server.
#[doc(hidden)]
pub fn count_pages(
    counting: &Counting,
    locations: &[u8],
    encounters: &[u8],
    base: &str,
    now: Time,
) -> Result<Observation, FhirFault> {
    fn resources<R>(bundle: Bundle<R>) -> Vec<R> {
        bundle.entry.into_iter().filter_map(|entry| entry.resource).collect()
    }
    let locations: Vec<Location> = resources(page_of("Location", locations)?);
    let encounters: Vec<Encounter> = resources(page_of("Encounter", encounters)?);
    Ok(census::count(counting, &locations, &encounters, base, now))
}

/// The address of the next page, if it is on the same server.
fn follow(from: &Uri, next: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let whole = if next.starts_with('/') { format!("{scheme}://{authority}{next}") } else { next.to_owned() };
    let uri: Uri = whole.parse().ok()?;
    (uri.scheme_str() == Some(scheme) && uri.authority() == Some(authority)).then_some(uri)
}
