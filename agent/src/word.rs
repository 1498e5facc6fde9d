//! The centre's word on this hospital: what its signed, retained feed says.
//!
//! In: messages on the feed's topics for the nation and for this hospital. Out: a [`Word`] of what
//! the centre's key signed. For diagnosis only: a broker can withhold a message or repeat an old one,
//! so that nothing is let go of, and nothing sent, because of it.

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Feed, FeedError, Freshness, Level};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{KeyId, PublicKey};
use vardpuls_shared::signed::{BadSignature, Envelope, EnvelopeError, Kind};
use vardpuls_shared::topic::{Scope, Topic};

/// What the centre's feed says. A hospital that is not enrolled has no message of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Word {
    /// The newest message about the nation: the centre is there.
    pub nation: Option<Said>,
    /// The newest message about this hospital.
    pub hospital: Option<Listed>,
}

/// When the centre said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Said {
    /// The centre's clock then.
    pub as_of: Time,
    /// This clock when it came.
    pub heard_at: Time,
    /// Whether it came when it was said, and not out of the broker's memory.
    pub live: bool,
}

/// What the centre says of this hospital.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// When it said so.
    pub said: Said,
    /// Fresh, stale, or unknown.
    pub state: Freshness,
    /// When it received the newest report.
    pub received_at: Option<Time>,
    /// How far it finds this clock ahead, in ms; none within its tolerance.
    pub clock_offset_ms: Option<i64>,
}

/// Why a message is not the centre's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// No envelope of a feed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Signed by a key that is not the centre's.
    #[error(
        "the feed is signed by key {found}, but centre-key is {expected}; ask the centre for its public key and \
         correct centre-key"
    )]
    OtherKey {
        /// The key named.
        found: KeyId,
        /// The centre's.
        expected: KeyId,
    },
    /// Names the centre's key, and is not signed by it.
    #[error("the feed: {0}; somebody else writes on its topics: check the broker's access rules")]
    Signature(#[from] BadSignature),
    /// Signed by the centre, and cannot be read.
    #[error("{0}; upgrade the older side")]
    Payload(#[from] FeedError),
    /// About another scope than its topic.
    #[error("the feed message on {0} is about something else; check the broker's access rules")]
    OtherScope(String),
}

/// The topics to listen on.
pub fn topics(hospital: &HospitalId) -> [String; 2] {
    [Topic::Feed(Scope::Nation).to_string(), Topic::Feed(Scope::Hospital(hospital.clone())).to_string()]
}

impl Word {
    /// Takes a message in, if the centre signed it. An empty one is nothing said.
    pub fn take(
        &mut self,
        (topic, retained, bytes): (&str, bool, &[u8]),
        centre: &PublicKey,
        hospital: &HospitalId,
        now: Time,
    ) -> Result<(), NotOurs> {
        let Some(Topic::Feed(scope)) = Topic::parse(topic) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let envelope = Envelope::open(Kind::Feed, bytes)?;
        if envelope.key_id != centre.id() {
            return Err(NotOurs::OtherKey { found: envelope.key_id, expected: centre.id() });
        }
        let feed = Feed::decode(envelope.verify(centre)?)?;
        let said = Said { as_of: feed.as_of, heard_at: now, live: !retained };
        match (scope, feed.level, feed.hospital) {
            (Scope::Nation, Level::Nation, _) => self.nation = Some(said),
            (Scope::Hospital(of), Level::Hospital, Some(detail)) if of == *hospital && feed.code == of.as_str() => {
                self.hospital = Some(Listed {
                    said,
                    state: detail.state,
                    received_at: detail.received_at,
                    clock_offset_ms: detail.clock_offset_ms,
                });
            }
            _ => return Err(NotOurs::OtherScope(topic.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vardpuls_shared::feed::{Coverage, Figures, HospitalDetail, VERSION};
    use vardpuls_shared::key::SigningKey;
    use vardpuls_shared::signed::sign;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn feed(level: Level, code: &str) -> Vec<u8> {
        let detail = HospitalDetail {
            region: "01".into(),
            state: Freshness::Stale,
            observed_at: None,
            received_at: Some(Time(3)),
            clock_offset_ms: Some(600_000),
            wards: Vec::new(),
        };
        let feed = Feed {
            version: VERSION,
            number: 1,
            as_of: Time(5),
            level,
            code: code.into(),
            name: "N".into(),
            total: Figures::default(),
            care: std::collections::BTreeMap::new(),
            coverage: Coverage::default(),
            hospital: (level == Level::Hospital).then_some(detail),
        };
        sign(Kind::Feed, &feed.encode(), &key(1))
    }

    #[test]
    fn only_what_the_centre_signed_about_this_hospital_counts() {
        let (mut word, h, centre) = (Word::default(), "h".parse().expect("valid"), key(1).public());
        let [nation, mine] = topics(&h);
        let mut take = |topic: &str, bytes: &[u8], centre| word.take((topic, true, bytes), centre, &h, Time(9));
        assert_eq!(take(&mine, b"", &centre), Ok(()));
        assert_eq!(take(&nation, &feed(Level::Nation, "SE"), &centre), Ok(()));
        assert!(matches!(take(&mine, &feed(Level::Hospital, "x"), &centre), Err(NotOurs::OtherScope(_))));
        assert!(matches!(take(&mine, &feed(Level::Nation, "SE"), &centre), Err(NotOurs::OtherScope(_))));
        let stranger = key(2).public();
        let other = take(&mine, &feed(Level::Hospital, "h"), &stranger).expect_err("another key").to_string();
        assert!(other.contains("correct centre-key"), "{other}");
        assert_eq!(take(&mine, &feed(Level::Hospital, "h"), &centre), Ok(()));
        assert_eq!(word.nation, Some(Said { as_of: Time(5), heard_at: Time(9), live: false }));
        let listed = word.hospital.expect("said");
        assert_eq!((listed.state, listed.clock_offset_ms), (Freshness::Stale, Some(600_000)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reason_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let h = "h".parse().expect("valid");
            let taken = Word::default().take((&topics(&h)[1], false, &bytes), &key(1).public(), &h, Time(9));
            prop_assert!(taken.is_err());
        }
    }
}
