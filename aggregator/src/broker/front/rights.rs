//! What a client may say and hear: the access control that rumqttd has not. Pure.
//!
//! In: topics and filters. Out: whether. The rules for a hospital's login are those of
//! `packaging/mosquitto/acl`. Whatever the standing, topics are printable ASCII and none begins with `$`:
//! rumqttd's router panics over other ones, and over shared subscriptions.

use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::topic::Topic;
use vardpuls_shared::wire::MAX_ENVELOPE;

use crate::broker::MAX_PACKET;

/// Room around an envelope for topic and headers.
const AROUND: usize = 1024;

/// What a client is, and so may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rights {
    /// The centre's own client and the watchdog: anything that does no harm.
    Own,
    /// A program on the centre's own machine, through the plain listener: the same.
    Local,
    /// The holder of a certificate or login of this name: its own topics, and reading what is published.
    Named(HospitalId),
}

impl Rights {
    /// Goes before the client id, so that no client can push one of another standing off.
    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Rights::Own => "own-",
            Rights::Local => "local-",
            Rights::Named(_) => "named-",
        }
    }

    /// The largest packet.
    pub(super) fn cap(&self) -> usize {
        match self {
            Rights::Own | Rights::Local => MAX_PACKET,
            Rights::Named(_) => MAX_ENVELOPE + AROUND,
        }
    }

    /// Whether it may publish on `topic`.
    pub(super) fn publish(&self, topic: &str) -> bool {
        if !harmless(topic) || topic.contains(['+', '#']) {
            return false;
        }
        match self {
            Rights::Own | Rights::Local => true,
            Rights::Named(name) => matches!(
                Topic::parse(topic),
                Some(Topic::Roster(of) | Topic::Report(of) | Topic::Presence(of)) if of == *name
            ),
        }
    }

    /// Whether it may subscribe to `filter`.
    pub(super) fn subscribe(&self, filter: &str) -> bool {
        if !harmless(filter) || !well_formed(filter) {
            return false;
        }
        match self {
            Rights::Own | Rights::Local => true,
            Rights::Named(name) => {
                let published = ["vardpuls/v1/feed/", "vardpuls/v1/alert/", "vardpuls/v1/json/"];
                published.iter().any(|under| filter.starts_with(under))
                    || Topic::parse(filter).is_some_and(|topic| topic == Topic::Receipt(name.clone()))
            }
        }
    }
}

fn harmless(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('$') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// `+` stands for a whole level, `#` for all at the end.
fn well_formed(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_own_topics_and_reads_what_is_published() {
        let a = Rights::Named("a".parse().expect("valid"));
        for topic in ["vardpuls/v1/report/a", "vardpuls/v1/roster/a", "vardpuls/v1/presence/a"] {
            assert!(a.publish(topic) && !a.subscribe(topic), "{topic}");
        }
        for topic in [
            "vardpuls/v1/report/b",
            "vardpuls/v1/report/a/b",
            "vardpuls/v1/receipt/a",
            "vardpuls/v1/feed/nation",
            "vardpuls/v1/alert/x.nation.1",
            "é/x",
            "$SYS/x",
            "x",
            "",
        ] {
            assert!(!a.publish(topic), "{topic}");
        }
        for filter in [
            "vardpuls/v1/receipt/a",
            "vardpuls/v1/feed/#",
            "vardpuls/v1/feed/hospital/+",
            "vardpuls/v1/alert/+",
            "vardpuls/v1/json/#",
        ] {
            assert!(a.subscribe(filter), "{filter}");
        }
        for filter in [
            "#",
            "+/v1/feed/nation",
            "vardpuls/v1/receipt/b",
            "vardpuls/v1/receipt/+",
            "vardpuls/v1/+/a",
            "vardpuls/v1/report/a",
            "vardpuls/v1/feed/#/x",
            "vardpuls/v1/feed/a+",
            "$share/g/vardpuls/v1/feed/#",
            "vardpuls/v1/feed/é",
        ] {
            assert!(!a.subscribe(filter), "{filter}");
        }
    }

    #[test]
    fn nobody_may_say_what_kills_the_broker() {
        for rights in [Rights::Own, Rights::Local, Rights::Named("a".parse().expect("valid"))] {
            for text in ["é/x", "$share/g/t", "$SYS/#", "a\nb", ""] {
                assert!(!rights.publish(text) && !rights.subscribe(text), "{rights:?} {text:?}");
            }
            assert!(!rights.publish("a/+") && !rights.publish("#"), "{rights:?}");
            assert!(!rights.subscribe("a/#/b") && !rights.subscribe("a+"), "{rights:?}");
        }
        assert!(Rights::Local.subscribe("#") && Rights::Local.publish("any/thing"));
    }
}
