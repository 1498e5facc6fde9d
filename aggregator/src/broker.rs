//! Which broker the centre is a client of: one that it starts itself, or one that somebody runs.
//!
//! The embedded one is rumqttd behind a [`front`] of ours, under a [`watchdog`].
//!
//! In: the config. Out: how to connect. The connection itself ([`crate::client`]) is the same for
//! both, and nothing else in the centre knows which it is.

mod descriptors;
mod embedded;
pub mod front;
pub mod watchdog;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use vardpuls_shared::clock::Clock;

use crate::config::{BrokerConfig, BrokerPlace, TlsConfig};
use crate::operators::OperatorsError;
use front::Front;
use front::counts::FrontCounts;
use front::house::OWN_USER;
use watchdog::Watchdog;

/// The largest packet that is taken in or sent out. Far above the cap on messages, so that one that
/// is over the cap is refused by name and does not end the connection.
pub(crate) const MAX_PACKET: usize = 1024 * 1024;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Messages in flight to the broker; feeds are many and small.
const IN_FLIGHT: u16 = 500;

/// Why there is no broker to connect to.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// An address of the embedded broker is taken, or not ours.
    #[error("{0}: cannot listen on {1}: {2}; is another broker or aggregator running?")]
    Listen(&'static str, SocketAddr, #[source] io::Error),
    /// The logins file.
    #[error(transparent)]
    Logins(#[from] OperatorsError),
    /// The embedded broker's thread could not be started.
    #[error("cannot start the embedded broker's thread: {0}")]
    Thread(#[source] io::Error),
    /// The embedded broker does not answer.
    #[error("the embedded broker on {0} does not answer; see the log above for its reason")]
    Silent(SocketAddr),
    /// A file of the broker's config cannot be read.
    #[error("cannot read {file}: {reason}; check the [broker] section's files and their permissions", file = .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library has no protocol version for us.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A broker to connect to.
#[derive(Debug)]
pub struct Broker {
    /// How.
    pub options: MqttOptions,
    /// What stands before the embedded broker; none for one that somebody runs.
    pub front: Option<Front>,
    /// What must watch it.
    pub watchdog: Option<Watchdog>,
}

/// Starts the embedded broker with its front and waits until it answers, or describes the external one.
pub async fn prepare(config: &BrokerConfig, clock: Clock, counts: FrontCounts) -> Result<Broker, BrokerError> {
    match &config.place {
        BrokerPlace::Embedded(embedded) => {
            let front = Front::open(embedded, embedded::start().await?, clock, counts).await?;
            let mut options = options(&config.client_id, &front.own.ip().to_string(), front.own.port());
            options.set_credentials(OWN_USER, front.house.own_password());
            let watchdog = Watchdog::new(&front);
            Ok(Broker { options, front: Some(front), watchdog: Some(watchdog) })
        }
        BrokerPlace::External(external) => {
            let mut options = options(&config.client_id, &external.host, external.port);
            if let Some(login) = &external.login {
                let password = String::from_utf8(read(&login.password_file)?)
                    .map_err(|e| file_error(&login.password_file, e.utf8_error()))?;
                options.set_credentials(&login.username, password.trim_end_matches(['\r', '\n']));
            }
            if let Some(tls) = &external.tls {
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(client_config(tls)?)));
            }
            Ok(Broker { options, front: None, watchdog: None })
        }
    }
}

fn options(client_id: &str, host: &str, port: u16) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, host, port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_session(true);
    options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    options.set_inflight(IN_FLIGHT);
    options
}

fn client_config(tls: &TlsConfig) -> Result<Arc<ClientConfig>, BrokerError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file)? {
        roots.add(certificate).map_err(|e| file_error(&tls.ca_file, e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| file_error(key, e))?;
            builder.with_client_auth_cert(certificates(certificate)?, private).map_err(|e| {
                file_error(certificate, format!("{e}; it must be X.509 v3 and belong to client-key-file"))
            })?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let pem = read(file)?;
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| file_error(file, e))?;
    if all.is_empty() {
        return Err(file_error(file, "it holds no PEM block \"CERTIFICATE\""));
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Vec<u8>, BrokerError> {
    std::fs::read(file).map_err(|e| file_error(file, e))
}

fn file_error(file: &Path, reason: impl std::fmt::Display) -> BrokerError {
    BrokerError::File { file: file.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use crate::config::{ExternalBroker, LoginConfig};

    use super::*;

    async fn prepared(tls: Option<TlsConfig>, login: Option<LoginConfig>) -> Result<Broker, BrokerError> {
        let place = BrokerPlace::External(ExternalBroker { host: "broker.example".into(), port: 8883, tls, login });
        let config = BrokerConfig { client_id: "centre".into(), place };
        prepare(&config, Clock::System, FrontCounts::default()).await
    }

    #[tokio::test]
    async fn a_password_is_read_without_its_line_break() {
        let dir = tempfile::tempdir().expect("temporary");
        let password_file = dir.path().join("password");
        std::fs::write(&password_file, "s3cret \r\n").expect("writes");
        let login = LoginConfig { username: "centre".into(), password_file };
        let broker = prepared(None, Some(login)).await.expect("prepared");
        assert_eq!(broker.options.credentials().map(|l| l.password).as_deref(), Some("s3cret "));
        assert_eq!(broker.options.broker_address(), ("broker.example".to_owned(), 8883));
    }

    #[tokio::test]
    async fn errors_name_the_file() {
        let dir = tempfile::tempdir().expect("temporary");
        let ca_file = dir.path().join("ca.pem");
        let tls = TlsConfig { ca_file: ca_file.clone(), client: None };
        let missing = prepared(Some(tls.clone()), None).await.expect_err("missing");
        assert!(missing.to_string().contains("ca.pem"), "{missing}");
        std::fs::write(&ca_file, "no certificate").expect("writes");
        let empty = prepared(Some(tls), None).await.expect_err("empty");
        assert!(empty.to_string().contains("CERTIFICATE"), "{empty}");
    }
}
