//! What a certificate says of itself: whose it is, who issued it, for which names, from when to when.
//!
//! In: DER bytes from anywhere. Out: those fields, or none. A reader of just these fields of X.509
//! (RFC 5280, §4.1), because it only shows them: whether a certificate is believed is decided by
//! rustls. Pure; reads forward only, allocates no more than it shows.

use std::net::IpAddr;
use std::time::Duration;

use vardpuls_shared::clock::Time;

/// The fields of a certificate that people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Whose it is: the common name, else the whole name.
    pub(super) subject: String,
    /// Who issued it.
    pub(super) issuer: String,
    /// From when it is valid.
    pub(super) from: Time,
    /// Until when.
    pub(super) until: Time,
    /// The DNS names and addresses that it is for.
    pub(super) names: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
/// id-at-commonName, organizationName.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANISATION: &[u8] = &[0x55, 4, 10];
/// id-ce-subjectAltName.
const ALT_NAME: &[u8] = &[0x55, 29, 17];
/// More names than are shown.
const MAX_NAMES: usize = 32;

impl Certificate {
    /// Reads one; none where it is not shaped like a certificate.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let mut tbs = Der(Der(Der(der).take(SEQUENCE)?).take(SEQUENCE)?);
        tbs.take(VERSION);
        tbs.take(INTEGER)?;
        tbs.take(SEQUENCE)?; // the signature's algorithm
        let issuer = name(tbs.take(SEQUENCE)?)?;
        let mut validity = Der(tbs.take(SEQUENCE)?);
        let (from, until) = (time(&mut validity)?, time(&mut validity)?);
        let subject = name(tbs.take(SEQUENCE)?)?;
        tbs.take(SEQUENCE)?; // the public key
        let mut names = Vec::new();
        while let Some((tag, body)) = tbs.next() {
            if tag == EXTENSIONS {
                alternative_names(Der(body).take(SEQUENCE)?, &mut names)?;
            }
        }
        Some(Certificate { subject, issuer, from, until, names })
    }

    /// How long it is still valid; none once it is over.
    pub(super) fn left(&self, now: Time) -> Option<Duration> {
        (self.until > now).then(|| self.until.since(now))
    }
}

/// Bytes of DER, read one element after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and body; none at the end, or where the bytes are no element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes do not occur in what we read.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            (bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b)), rest)
        };
        let (body, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, body))
    }

    /// The next element if it has this tag; else nothing is taken.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, body)) if found == tag => Some(body),
            _ => {
                self.0 = before;
                None
            }
        }
    }
}

/// A distinguished name: its common name, with the organisation where there is one.
fn name(body: &[u8]) -> Option<String> {
    let (mut common, mut organisation) = (None, None);
    let mut sets = Der(body);
    while !sets.0.is_empty() {
        let mut pairs = Der(sets.take(SET)?);
        while !pairs.0.is_empty() {
            let mut pair = Der(pairs.take(SEQUENCE)?);
            let kind = pair.take(OID)?;
            let (_, value) = pair.next()?;
            match kind {
                COMMON_NAME => common = Some(text(value)),
                ORGANISATION => organisation = Some(text(value)),
                _ => {}
            }
        }
    }
    Some(match (common, organisation) {
        (Some(common), Some(organisation)) => format!("{common} ({organisation})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nobody by name".to_owned(),
    })
}

/// Text of a stranger, shown on a terminal.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn time(der: &mut Der<'_>) -> Option<Time> {
    let (tag, body) = der.next()?;
    let digits = std::str::from_utf8(body).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERAL_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let civil = jiff::civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    let stamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Time(u64::try_from(stamp.as_millisecond()).unwrap_or(0)))
}

fn alternative_names(body: &[u8], names: &mut Vec<String>) -> Option<()> {
    let mut extensions = Der(body);
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        let kind = extension.take(OID)?;
        extension.take(BOOLEAN);
        let value = extension.take(OCTETS)?;
        if kind != ALT_NAME {
            continue;
        }
        let mut all = Der(Der(value).take(SEQUENCE)?);
        while let Some((tag, body)) = all.next() {
            match tag {
                _ if names.len() == MAX_NAMES => break,
                DNS_NAME => names.push(text(body)),
                ADDRESS => names.extend(address(body).map(|a| a.to_string())),
                _ => {}
            }
        }
    }
    Some(())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["broker.example".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.distinguished_name.push(DnType::CommonName, "Bröker\u{7}");
        params.distinguished_name.push(DnType::OrganizationName, "Region");
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2055, 1, 2);
        params.self_signed(&KeyPair::generate().expect("random")).expect("signed").der().to_vec()
    }

    #[test]
    fn what_another_library_wrote_is_read() {
        let certificate = Certificate::read(&made()).expect("a certificate");
        assert_eq!(certificate.subject, "Bröker? (Region)");
        assert_eq!(certificate.issuer, certificate.subject);
        assert_eq!(certificate.names, ["broker.example", "127.0.0.1"]);
        // 2024 is written in two digits, 2055 in four (RFC 5280, §4.1.2.5).
        assert_eq!(certificate.from.to_string(), "2024-02-29T00:00:00.000Z");
        assert_eq!(certificate.until.to_string(), "2055-01-02T00:00:00.000Z");
        assert_eq!(certificate.left(certificate.until), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_none_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Certificate::read(&bytes), None);
        }

        #[test]
        fn a_changed_or_cut_certificate_is_no_panic(at in 0usize..500, byte: u8, cut in 0usize..600) {
            let mut der = made();
            let at = at % der.len();
            der[at] = byte;
            let _ = Certificate::read(&der[..cut.min(der.len())]);
            let _ = Certificate::read(&der);
        }
    }
}
