//! The files of the broker section: there, kept private, and of the agent's own certificate, how
//! long it holds, whose it is, and whether its key is its own.

use std::net::IpAddr;
use std::time::Duration;

use vardpuls_shared::clock::Time;

use crate::config::{Broker, Config};
use crate::publisher::connection::{self, ConnectionFileError};

use super::certificate::Certificate;
use super::file_mode;
use super::finding::{Finding, Level};

const STEP: &str = "broker";
const OWN: &str = "certificate";
/// A certificate that ends sooner is to be renewed now.
pub(super) const SOON: Duration = Duration::from_hours(30 * 24);

pub(super) fn check(config: &Config, now: Time) -> Vec<Finding> {
    let broker = &config.broker;
    let mut findings = Vec::new();
    match connection::options(&config.hospital, broker) {
        Err(ConnectionFileError::Tls(rustls::Error::InconsistentKeys(_))) => {
            let what = "client-key-file is not the key of the certificate in client-cert-file";
            findings.push(Finding::failed(
                OWN,
                what,
                "name the two that were made together, or have a new pair issued",
            ));
        }
        Err(e) => findings.push(Finding::of(STEP, Level::Failed, &e)),
        Ok(_) if broker.tls.is_none() && !is_here(broker) => findings.push(Finding::warning(
            STEP,
            format!("{broker} is in clear; reports and a login can be read on the way"),
            "use an mqtts:// url with ca-file, unless the network itself is encrypted",
        )),
        Ok(_) => findings.push(Finding::ok(STEP, broker.to_string())),
    }
    if let Some(login) = &broker.login {
        findings.extend(file_mode::readable_by_all(STEP, "password-file", &login.password_file));
    }
    let Some(tls) = &broker.tls else { return findings };
    for authority in connection::certificates("ca-file", &tls.ca_file).unwrap_or_default() {
        if let Some(read) = Certificate::read(&authority) {
            let remedy = "get the authority's new certificate and put it into ca-file";
            findings.extend(ending(STEP, &format!("ca-file: {}", read.subject), &read, now, remedy));
        }
    }
    if let Some(client) = &tls.client {
        findings.extend(file_mode::readable_by_all(OWN, "client-key-file", &client.key_file));
        let chain = connection::certificates("client-cert-file", &client.cert_file).unwrap_or_default();
        if let Some(own) = chain.first().and_then(|der| Certificate::read(der)) {
            findings.extend(own_certificate(config, &own, now));
        }
    }
    findings
}

fn is_here(broker: &Broker) -> bool {
    broker.host == "localhost" || broker.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn own_certificate(config: &Config, own: &Certificate, now: Time) -> Vec<Finding> {
    let whose = format!("for {}, issued by {}", own.subject, own.issuer);
    let remedy = "have a new one issued, and put it into client-cert-file; no restart is needed";
    let mut findings = match ending(OWN, &format!("the agent's own, {whose}"), own, now, remedy) {
        Some(finding) => vec![finding],
        None => vec![Finding::ok(OWN, format!("the agent's own, {whose}, valid until {}", own.until))],
    };
    if own.subject != config.hospital.as_str() {
        let what = format!("the agent's own is for {}, not {}", own.subject, config.hospital);
        let remedy = "brokers that take the login from the certificate want the hospital's id as its common name";
        findings.push(Finding::warning(OWN, what, remedy));
    }
    findings
}

/// What is wrong with a certificate's time, if anything.
pub(super) fn ending(step: &str, whose: &str, read: &Certificate, now: Time, remedy: &str) -> Option<Finding> {
    let (from, until) = (read.from, read.until);
    if now < from {
        let what = format!("{whose}: not valid before {from}, and by this clock it is {now}");
        return Some(Finding::failed(step, what, format!("correct this machine's clock; if it is right, {remedy}")));
    }
    match read.left(now) {
        None => Some(Finding::failed(step, format!("{whose}: expired at {until}"), remedy)),
        Some(left) if left < SOON => {
            let what = format!("{whose}: expires in {} days, at {until}", left.as_secs() / 86_400);
            Some(Finding::warning(step, what, remedy))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_good_until_thirty_days_before_its_end() {
        let day = |n: u64| Time(n * 86_400_000);
        let read =
            Certificate { subject: "h".into(), issuer: "CA".into(), from: day(10), until: day(100), names: Vec::new() };
        let level = |now| ending("tls", "it", &read, now, "renew").map(|f| f.level);
        assert_eq!(level(Time(day(10).0 - 1)), Some(Level::Failed));
        assert_eq!((level(day(10)), level(day(70))), (None, None));
        assert_eq!(level(Time(day(70).0 + 1)), Some(Level::Warning));
        assert_eq!((level(Time(day(100).0 - 1)), level(day(100))), (Some(Level::Warning), Some(Level::Failed)));
    }
}
