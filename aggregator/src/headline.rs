//! How the centre does, in one line: what `systemctl status` shows.
//!
//! Only what a person would act on or be glad to see.

use vardpuls_shared::feed::Coverage;

use crate::readiness::Readiness;

/// The line for this state; `alarms` is how many stand.
pub fn headline(readiness: &Readiness, coverage: Coverage, alarms: usize) -> String {
    let mut parts = Vec::new();
    if !readiness.store_works() {
        parts.push("the store takes no commits, so nothing is receipted".to_owned());
    }
    if !readiness.broker_connected() {
        parts.push("no connection to the broker".to_owned());
    }
    let Coverage { hospitals, fresh, .. } = coverage;
    parts.push(match hospitals {
        0 => "no hospital is enrolled".to_owned(),
        _ => format!("{fresh} of {hospitals} hospitals are fresh"),
    });
    match alarms {
        0 => {}
        1 => parts.push("1 alarm stands".to_owned()),
        n => parts.push(format!("{n} alarms stand")),
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_a_person_would_act_on() {
        let readiness = Readiness::default();
        let none = Coverage::default();
        let silent =
            "the store takes no commits, so nothing is receipted; no connection to the broker; no hospital is enrolled";
        assert_eq!(headline(&readiness, none, 0), silent);
        readiness.set_store_works(true);
        readiness.set_broker_connected(true);
        let some = Coverage { hospitals: 72, fresh: 70, ..none };
        assert_eq!(headline(&readiness, some, 2), "70 of 72 hospitals are fresh; 2 alarms stand");
    }
}
