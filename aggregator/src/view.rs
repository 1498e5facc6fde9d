//! The live picture as others may see it: immutable snapshots, replaced whole.
//!
//! Owned by the live core, which replaces it at every publication round; read by HTTP without
//! waiting. Feeds are shared by `Arc`: a round encodes and copies what changed, and pointers to the rest.
//! What has changed, of the picture and of the alarms, is told by [`Change`].

use std::collections::BTreeMap;
use std::sync::Arc;

use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Feed;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::topic::Scope;

use crate::alert::entry::Said;
use crate::alert::standing::Standing;
use crate::live::Live;

/// What others are told of as it happens.
#[derive(Debug, Clone)]
pub enum Change {
    /// A scope's new feed.
    Feed(Arc<Feed>),
    /// What receivers hear of an alarm.
    Said(Arc<Said>),
    /// What stands now.
    Standing(Arc<Standing>),
}

/// All feeds of one publication round.
#[derive(Debug, Clone)]
pub struct View {
    /// The round's number.
    pub number: u64,
    /// The centre's clock at the round.
    pub as_of: Time,
    /// The nation's feed.
    pub nation: Arc<Feed>,
    /// Every region's feed, also of regions without hospitals.
    pub regions: BTreeMap<RegionCode, Arc<Feed>>,
    /// Every enrolled hospital's feed.
    pub hospitals: BTreeMap<HospitalId, Arc<Feed>>,
}

impl View {
    /// The whole picture at once, as at start.
    pub fn of(live: &Live, number: u64, as_of: Time) -> View {
        let feed = |scope: &Scope| live.feed(scope, number, as_of).map(Arc::new);
        let mut view = View {
            number,
            as_of,
            nation: feed(&Scope::Nation).expect("the nation always has a feed"),
            regions: BTreeMap::new(),
            hospitals: BTreeMap::new(),
        };
        for scope in live.scopes() {
            if let Some(feed) = feed(&scope) {
                view.put(scope, feed);
            }
        }
        view
    }

    /// Puts a scope's new feed in the old one's place.
    pub fn put(&mut self, scope: Scope, feed: Arc<Feed>) {
        match scope {
            Scope::Nation => self.nation = feed,
            Scope::Region(code) => drop(self.regions.insert(code, feed)),
            Scope::Hospital(id) => drop(self.hospitals.insert(id, feed)),
        }
    }

    /// Every feed with its scope.
    pub fn feeds(&self) -> impl Iterator<Item = (Scope, &Arc<Feed>)> {
        let regions = self.regions.iter().map(|(code, feed)| (Scope::Region(code.clone()), feed));
        let hospitals = self.hospitals.iter().map(|(id, feed)| (Scope::Hospital(id.clone()), feed));
        std::iter::once((Scope::Nation, &self.nation)).chain(regions).chain(hospitals)
    }
}
