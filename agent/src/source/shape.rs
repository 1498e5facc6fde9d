//! What of a source's values may be shown to people: in errors, in `status`, and in what is kept on disk.
//!
//! In: a value as the source gives it, which may be anybody's name or number where a config names the wrong column.
//! Out: the value itself where it can only be the code of a place, else its shape: how many letters, digits, spaces
//! and other characters, and none of them. Pure.
//!
//! # What may be shown
//! At most [`MAX_CODE`] characters of `A-Za-z0-9`, spaces and `_-.,+`, with at most four digits, or five in a row, and
//! - without a digit: at most three letters (`IVA`, `OP`),
//! - with one: at most six letters, four in a row (`KIR3`, `Avd 52`, `MED-12B`).
//!
//! Also a Swedish HSA-id whose last part is such a code (`SE2321000016-1003`; its number is an organisation's, whose third
//! digit is never below 2, as a person's is), and a UUID. A name, an address, a telephone number, a date of birth and a
//! personal number are none of these. Beside them, a list or an object where one value is wanted, which a JSON reader
//! writes as `[…]` and `{…}`.

use std::fmt::Write as _;

/// The longest code that is shown.
const MAX_CODE: usize = 31;

/// The value in quotes where it may be shown, else its shape.
pub(super) fn shown(value: &str) -> String {
    if may_be_shown(value) { format!("{value:?}") } else { shape(value) }
}

/// The same without quotes, for lists of names.
pub(super) fn named(value: &str) -> String {
    if may_be_shown(value) { value.to_owned() } else { shape(value) }
}

/// Whether it can only be a code.
pub(super) fn may_be_shown(value: &str) -> bool {
    is_code(value) || is_hsa_id(value) || is_uuid(value) || matches!(value, "[…]" | "{…}")
}

/// `[13 letters, 1 space]`.
pub(super) fn shape(value: &str) -> String {
    let mut counts = [0usize; 4];
    for c in value.chars() {
        let kind = match c {
            c if c.is_alphabetic() => 0,
            c if c.is_numeric() => 1,
            c if c.is_whitespace() => 2,
            _ => 3,
        };
        counts[kind] += 1;
    }
    let kinds = [("letter", "letters"), ("digit", "digits"), ("space", "spaces"), ("other", "others")];
    let mut out = String::from("[");
    for (n, (one, more)) in counts.into_iter().zip(kinds).filter(|(n, _)| *n > 0) {
        let comma = if out.len() > 1 { ", " } else { "" };
        write!(out, "{comma}{n} {}", if n == 1 { one } else { more }).expect("writing to a String cannot fail");
    }
    out.push_str(if out.len() == 1 { "nothing]" } else { "]" });
    out
}

fn is_code(value: &str) -> bool {
    if value.is_empty() || value.len() > MAX_CODE {
        return false;
    }
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.,+ ".contains(&b)) {
        return false;
    }
    let (letters, letters_in_a_row) = count(value, u8::is_ascii_alphabetic);
    let (digits, digits_in_a_row) = count(value, u8::is_ascii_digit);
    let few_digits = digits <= 4 || (digits == 5 && digits_in_a_row == 5);
    let few_letters = if digits == 0 { letters <= 3 } else { letters <= 6 && letters_in_a_row <= 4 };
    few_digits && few_letters
}

/// How many bytes are of a kind, in all and at most in a row.
fn count(value: &str, is: fn(&u8) -> bool) -> (usize, usize) {
    let rows = value.as_bytes().split(|byte| !is(byte)).map(<[u8]>::len);
    rows.fold((0, 0), |(all, longest), row| (all + row, longest.max(row)))
}

fn is_hsa_id(value: &str) -> bool {
    let Some((organisation, place)) = value.strip_prefix("SE").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    organisation.len() == 10
        && organisation.bytes().all(|b| b.is_ascii_digit())
        && organisation.as_bytes()[2] >= b'2'
        && is_code(place)
}

fn is_uuid(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && value.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_of_places_are_shown() {
        for code in [
            "IVA",
            "OP",
            "KIR3",
            "Avd 52",
            "MED-12B",
            "B2-04",
            "12345",
            "-",
            "-3",
            "12.5",
            "[…]",
            "SE2321000016-1003",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
        ] {
            assert_eq!(shown(code), format!("{code:?}"));
        }
    }

    #[test]
    fn what_may_be_a_person_is_not() {
        for (value, expected) in [
            ("Anna Andersson", "[13 letters, 1 space]"),
            ("ANDERSSON^ANNA", "[13 letters, 1 other]"),
            ("Anna", "[4 letters]"),
            ("Åsa", "[3 letters]"),
            ("19121212-1212", "[12 digits, 1 other]"),
            ("191212121212", "[12 digits]"),
            ("121212-1212", "[10 digits, 1 other]"),
            ("SE1912121212-1212", "[2 letters, 14 digits, 1 other]"),
            ("SE2321000016-191212121212", "[2 letters, 22 digits, 1 other]"),
            ("070-1740605", "[10 digits, 1 other]"),
            ("Storgatan 1", "[9 letters, 1 digit, 1 space]"),
            ("anna.andersson@example.org", "[23 letters, 3 others]"),
            ("1912-12-12", "[8 digits, 2 others]"),
            ("5.12.64", "[5 digits, 2 others]"),
            ("Anna-Lisa3", "[8 letters, 1 digit, 1 other]"),
            ("", "[nothing]"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn six_digits_or_seven_letters_are_in_nothing_that_is_shown(value in "[A-Za-z0-9 ÅÄÖ_@.-]{0,40}") {
            let count = |is: fn(&char) -> bool| value.chars().filter(is).count();
            let many = count(char::is_ascii_digit) > 5 || count(|c| c.is_alphabetic()) > 6;
            prop_assert!(!many || !may_be_shown(&value) || is_hsa_id(&value) || is_uuid(&value));
        }
    }
}
