//! Whom the network listener believes: certificates and logins, read again when their files change.
//!
//! In: the files. Out: a [`Trust`], which judges a CONNECT and, whenever it changes, every connection
//! that stands. A file that is broken or gone changes nothing: what was in force stays so, and the log
//! says what is wrong, once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;

use super::connect::Connect;
use super::denial::Denial;
use super::logins::{self, Logins};
use super::tls::{self, Tls};
use crate::broker::BrokerError;
use crate::config::NetworkConfig;

/// How often the files are read.
const SCAN: Duration = Duration::from_secs(5);

/// What is believed at one instant.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Trust {
    pub(super) tls: Tls,
    logins: Logins,
}

/// By what somebody came in.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// A certificate and what its holder sent with it.
    Certificate(Vec<CertificateDer<'static>>),
    /// A login, by its token's digest.
    Token([u8; 32]),
}

impl Trust {
    /// Reads the files.
    pub(super) fn load(config: &NetworkConfig) -> Result<Trust, BrokerError> {
        let logins = config.logins_file.as_deref().map(logins::read).transpose()?;
        Ok(Trust { tls: tls::load(config)?, logins: logins.unwrap_or_default() })
    }

    /// Our own certificate.
    pub(in crate::broker) fn certificate(&self) -> CertificateDer<'static> {
        self.tls.certificate.clone()
    }

    /// Who this is, and by what. A certificate was verified in the handshake.
    pub(super) fn judge(
        &self,
        connect: &Connect<'_>,
        chain: &[CertificateDer<'static>],
        now: Time,
    ) -> Result<(HospitalId, Credential), Denial> {
        let name: HospitalId = connect.client_id.parse().map_err(|_| Denial::ClientId)?;
        if connect.login.is_some_and(|(user, _)| user != name.as_str()) {
            return Err(Denial::OtherName);
        }
        if let Some(certificate) = chain.first() {
            return if tls::names(certificate).contains(&name) {
                Ok((name, Credential::Certificate(chain.to_vec())))
            } else {
                Err(Denial::OtherName)
            };
        }
        let (_, password) = connect.login.ok_or(Denial::LoginMissing)?;
        let digest = self.logins.judge(&name, password, now)?;
        Ok((name, Credential::Token(digest)))
    }

    /// Whether somebody who came in earlier is still believed.
    pub(super) fn holds(&self, name: &HospitalId, credential: &Credential, now: Time) -> bool {
        match credential {
            Credential::Token(digest) => self.logins.holds(name, *digest, now),
            Credential::Certificate(chain) => {
                let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
                match (&self.tls.verifier, chain.split_first()) {
                    (Some(verifier), Some((own, between))) => verifier.verify_client_cert(own, between, now).is_ok(),
                    _ => false,
                }
            }
        }
    }
}

/// Reads the files again and again, for as long as anybody wants to know.
pub(super) async fn follow(config: NetworkConfig, trust: watch::Sender<Arc<Trust>>) {
    let mut ticks = tokio::time::interval(SCAN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let config = Arc::new(config);
    let mut seen = None;
    loop {
        ticks.tick().await;
        let files = config.clone();
        let looked = tokio::task::spawn_blocking(move || (contents(&files), Trust::load(&files)));
        // Only a runtime that is being dropped lets go of the task.
        let Ok((contents, loaded)) = looked.await else { return };
        // The first look is at what the start has read.
        if seen.as_ref().is_none_or(|seen| *seen == contents) {
            seen.get_or_insert(contents);
            continue;
        }
        seen = Some(contents);
        match loaded {
            Ok(new) => {
                tracing::info!("the broker's certificates and logins were read again and are in force");
                trust.send_replace(Arc::new(new));
            }
            Err(error) => {
                tracing::error!(%error, "the broker's certificates and logins are not taken; what was in force stays so");
            }
        }
    }
}

/// What stands in the files; none for one that cannot be read.
fn contents(config: &NetworkConfig) -> Vec<Option<Vec<u8>>> {
    let optional = [&config.client_ca_file, &config.client_crl_file, &config.logins_file];
    let files = [&config.cert_file, &config.key_file].into_iter().chain(optional.into_iter().flatten());
    files.map(|file: &std::path::PathBuf| std::fs::read(Path::new(file)).ok()).collect()
}
