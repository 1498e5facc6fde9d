//! Enrolment cards: what is read and believed is rendered to a card that is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::card::Card;

fuzz_target!(|text: &str| {
    let Ok(card) = toml::from_str::<Card>(text) else { return };
    let again: Card = toml::from_str(&card.render()).expect("ours");
    assert_eq!(again, card);
    assert_eq!(again.check(), card.check());
});
