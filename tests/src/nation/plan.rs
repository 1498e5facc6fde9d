//! Which wards a hospital of a size has.
//!
//! In: size, specials, the hospital's number. Out: wards with decided beds. No chance: small differences between
//! hospitals of one size come from their number. Most general wards have 14 to 24 beds, and the nation about 600
//! intensive care beds, as in Sweden; the rest is invented.

use vardpuls_shared::roster::Capability;

use super::{Line, Size, Special, Ward};

/// How many wards, and how many beds in each.
struct Room {
    line: Line,
    wards: u16,
    beds: u16,
}

const fn room(line: Line, wards: u16, beds: u16) -> Room {
    Room { line, wards, beds }
}

const SMALL: &[Room] = &[
    room(Line::Emergency, 1, 10),
    room(Line::Intensive, 1, 3),
    room(Line::Medicine, 2, 18),
    room(Line::Surgery, 1, 16),
    room(Line::Geriatrics, 1, 16),
];

const MEDIUM: &[Room] = &[
    room(Line::Emergency, 1, 18),
    room(Line::Intensive, 1, 5),
    room(Line::Intermediate, 1, 4),
    room(Line::Medicine, 3, 20),
    room(Line::Surgery, 2, 18),
    room(Line::Orthopaedics, 1, 18),
    room(Line::Geriatrics, 1, 20),
    room(Line::Maternity, 1, 12),
    room(Line::Psychiatry, 1, 16),
];

const LARGE: &[Room] = &[
    room(Line::Emergency, 1, 28),
    room(Line::Intensive, 1, 9),
    room(Line::Intermediate, 1, 8),
    room(Line::Medicine, 5, 20),
    room(Line::Surgery, 3, 20),
    room(Line::Orthopaedics, 2, 19),
    room(Line::Geriatrics, 2, 19),
    room(Line::Infection, 1, 14),
    room(Line::Maternity, 1, 22),
    room(Line::Children, 1, 14),
    room(Line::Newborn, 1, 9),
    room(Line::Psychiatry, 2, 17),
];

const UNIVERSITY: &[Room] = &[
    room(Line::Emergency, 1, 44),
    room(Line::Intensive, 1, 14),
    room(Line::Intermediate, 2, 9),
    room(Line::Medicine, 8, 20),
    room(Line::Surgery, 6, 20),
    room(Line::Orthopaedics, 3, 20),
    room(Line::Geriatrics, 2, 20),
    room(Line::Infection, 2, 15),
    room(Line::Maternity, 2, 22),
    room(Line::Children, 2, 15),
    room(Line::Newborn, 1, 16),
    room(Line::Psychiatry, 4, 17),
];

fn special_rooms(special: Special) -> &'static [Room] {
    const BURN: &[Room] = &[room(Line::Burn, 1, 8)];
    const CHILDREN: &[Room] = &[room(Line::ChildrensIntensive, 1, 9)];
    const NEURO: &[Room] = &[room(Line::Intensive, 1, 10)];
    const THORACIC: &[Room] = &[room(Line::Intensive, 1, 10)];
    match special {
        Special::Burn => BURN,
        Special::Children => CHILDREN,
        Special::Neuro => NEURO,
        Special::Thoracic => THORACIC,
        Special::Ecmo | Special::Trauma => &[],
    }
}

/// The wards of a hospital.
pub(super) fn wards(size: Size, special: &[Special], number: usize) -> Vec<Ward> {
    let rooms = match size {
        Size::Small => SMALL,
        Size::Medium => MEDIUM,
        Size::Large => LARGE,
        Size::University => UNIVERSITY,
    };
    let base = rooms.iter().map(|r| (r, None));
    let specials = special.iter().flat_map(|&s| special_rooms(s).iter().map(move |r| (r, Some(s))));
    let mut wards: Vec<Ward> = Vec::new();
    for (room, reason) in base.chain(specials) {
        for _ in 0..room.wards {
            let index = u16::try_from(wards.len() + 1).expect("a few dozen wards");
            let nth = wards.iter().filter(|w| w.line == room.line).count() + 1;
            wards.push(Ward {
                index,
                id: format!("{}-{nth}", short(room.line)).parse().expect("letters, digits and a hyphen"),
                name: name(room.line, reason, nth),
                line: room.line,
                decided: varied(room, number, index),
                capabilities: capabilities(room.line, reason, special),
            });
        }
    }
    wards
}

/// The beds of a room, a little different in every hospital.
fn varied(room: &Room, number: usize, index: u16) -> u16 {
    let step = if room.beds >= 12 { 2 } else { 1 };
    let turn = u16::try_from((number * 7 + usize::from(index) * 3) % 3).expect("below three");
    room.beds + turn * step - step
}

fn short(line: Line) -> &'static str {
    match line {
        Line::Emergency => "akm",
        Line::Intensive => "iva",
        Line::Intermediate => "ima",
        Line::Medicine => "med",
        Line::Surgery => "kir",
        Line::Orthopaedics => "ort",
        Line::Geriatrics => "ger",
        Line::Infection => "inf",
        Line::Maternity => "bb",
        Line::Children => "barn",
        Line::ChildrensIntensive => "biva",
        Line::Newborn => "neo",
        Line::Psychiatry => "psyk",
        Line::Burn => "brann",
    }
}

fn name(line: Line, reason: Option<Special>, nth: usize) -> String {
    let base = match (line, reason) {
        (Line::Intensive, Some(Special::Neuro)) => return "Neurointensiven".to_owned(),
        (Line::Intensive, Some(Special::Thoracic)) => return "Thoraxintensiven".to_owned(),
        (Line::Emergency, _) => return "Akutmottagningen".to_owned(),
        (Line::Intensive, _) => return "Intensivvårdsavdelningen".to_owned(),
        (Line::ChildrensIntensive, _) => return "Barnintensiven".to_owned(),
        (Line::Newborn, _) => return "Neonatalavdelningen".to_owned(),
        (Line::Burn, _) => return "Brännskadeavdelningen".to_owned(),
        (Line::Intermediate, _) => "Intermediärvårdsavdelning",
        (Line::Medicine, _) => "Medicinavdelning",
        (Line::Surgery, _) => "Kirurgavdelning",
        (Line::Orthopaedics, _) => "Ortopedavdelning",
        (Line::Geriatrics, _) => "Geriatrikavdelning",
        (Line::Infection, _) => "Infektionsavdelning",
        (Line::Maternity, _) => "Förlossning och BB",
        (Line::Children, _) => "Barnavdelning",
        (Line::Psychiatry, _) => "Psykiatriavdelning",
    };
    format!("{base} {nth}")
}

fn capabilities(line: Line, reason: Option<Special>, special: &[Special]) -> Vec<Capability> {
    match (line, reason) {
        (Line::Emergency, _) if special.contains(&Special::Trauma) => vec![Capability::TRAUMA],
        (Line::Intensive, Some(Special::Neuro)) => vec![Capability::VENTILATION, Capability::NEUROSURGERY],
        (Line::Intensive, Some(Special::Thoracic)) if special.contains(&Special::Ecmo) => {
            vec![Capability::VENTILATION, Capability::ECMO, Capability::THORACIC_SURGERY]
        }
        (Line::Intensive, Some(Special::Thoracic)) => vec![Capability::VENTILATION, Capability::THORACIC_SURGERY],
        (Line::Intensive, _) => vec![Capability::VENTILATION, Capability::DIALYSIS],
        (Line::ChildrensIntensive | Line::Newborn, _) => vec![Capability::VENTILATION],
        (Line::Burn, _) => vec![Capability::VENTILATION, Capability::BURNS],
        (Line::Infection, _) => vec![Capability::ISOLATION],
        _ => Vec::new(),
    }
}
