//! One MQTT connection: its options, the task that drives it, and the wait before the next one.
//!
//! Every connection gets a client of its own. rumqttc keeps packet ids, collisions and requests
//! over a reconnect, and throws the unacknowledged ones away when the broker has no session; a
//! fresh client has nothing to remember wrongly, and the outbox remembers everything. The client
//! is polled by its own task, so that neither disk nor decisions ever hold back acknowledgements
//! and pings. Files (password, certificates) are read for each connection: renewing them needs no
//! restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, Publish,
    QoS, TlsConfiguration, Transport,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::topic::Topic;
use vardpuls_shared::wire::MAX_ENVELOPE;

use crate::config::Broker;

/// Requests that may wait for the connection. Never awaited: what does not fit is tried again.
const REQUESTS: usize = 128;
/// Room around an envelope for topic and header.
const PACKET: usize = MAX_ENVELOPE + 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The presence message of an agent that is there.
pub(super) const ONLINE: &str = "online";
/// The presence message of one that stopped, also its last will.
pub(super) const OFFLINE: &str = "offline";

/// Why no connection could be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionFileError {
    /// A file of the `[broker]` section cannot be read.
    #[error("broker.{key}: {path}: {source}; check that the file is there and that the agent's user may read it")]
    Read {
        /// The key in the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds no certificate or key.
    #[error("broker.{key}: {path}: {detail}; it must be PEM")]
    Pem {
        /// The key in the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The certificates do not make a TLS client.
    #[error("the TLS files of the broker section do not fit together: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a connection tells.
#[derive(Debug)]
pub(super) enum Line {
    /// The broker took us.
    Up,
    /// A message on a topic that we subscribed to.
    Message(Publish),
    /// The disconnect that we asked for is on its way.
    Closed,
    /// The connection ended, or never stood. The last word of a connection.
    Lost(String),
}

/// A connection being driven. Dropping it ends it at once.
pub(super) struct Connection {
    pub(super) client: AsyncClient,
    pub(super) lines: mpsc::Receiver<Line>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Starts to connect.
    pub(super) fn start(options: MqttOptions) -> Connection {
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
        events.set_network_options(network);
        let (tell, lines) = mpsc::channel(64);
        let mut driver = JoinSet::new();
        driver.spawn(drive(events, tell));
        Connection { client, lines, _driver: driver }
    }

    /// The next line; a driver that died is a lost connection.
    pub(super) async fn line(&mut self) -> Line {
        self.lines.recv().await.unwrap_or_else(|| Line::Lost("the MQTT client stopped".into()))
    }
}

async fn drive(mut events: EventLoop, tell: mpsc::Sender<Line>) {
    let mut up = false;
    loop {
        let line = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                up = true;
                Line::Up
            }
            Ok(Event::Incoming(Packet::Publish(message))) => Line::Message(message),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => Line::Closed,
            Ok(_) => continue,
            Err(e) => Line::Lost(reason(&e, up)),
        };
        let last = matches!(line, Line::Lost(_));
        if tell.send(line).await.is_err() || last {
            return;
        }
    }
}

/// Many brokers close without a word when they refuse a login, so that the two look the same.
fn reason(e: &ConnectionError, up: bool) -> String {
    match e {
        ConnectionError::ConnectionRefused(code) => {
            format!(
                "refused: {code:?}; check username, password-file and client certificate with the broker's operator"
            )
        }
        e if up => format!("connection lost: {e}"),
        e => format!("refused or unreachable: {e}"),
    }
}

/// The options of a connection, from config and its files.
pub fn options(hospital: &HospitalId, broker: &Broker) -> Result<MqttOptions, ConnectionFileError> {
    // rumqttc joins host and port with a colon.
    let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host.clone() };
    let mut options = MqttOptions::new(hospital.as_str(), host, broker.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_max_packet_size(PACKET, PACKET);
    let presence = Topic::Presence(hospital.clone()).to_string();
    options.set_last_will(LastWill::new(presence, OFFLINE, QoS::AtLeastOnce, true));
    if let Some(login) = &broker.login {
        let password = read("password-file", &login.password_file)?;
        let password = String::from_utf8_lossy(&password);
        options.set_credentials(&login.username, password.trim_end_matches(['\r', '\n']));
    }
    if let Some(tls) = &broker.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(client_config(tls)?))));
    }
    Ok(options)
}

/// Whom the connection trusts.
pub fn roots(tls: &crate::config::Tls) -> Result<rustls::RootCertStore, ConnectionFileError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates("ca-file", &tls.ca_file)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// TLS as the connection does it.
pub fn client_config(tls: &crate::config::Tls) -> Result<rustls::ClientConfig, ConnectionFileError> {
    let roots = roots(tls)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(own) = &tls.client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("client-cert-file", &own.cert_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read("client-key-file", &own.key_file)?)
        .map_err(|e| pem("client-key-file", &own.key_file, e.to_string()))?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

/// The certificates in a PEM file; `key` names it in the config.
pub fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectionFileError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(key, path)?)
        .collect::<Result<_, _>>()
        .map_err(|e| pem(key, path, e.to_string()))?;
    if found.is_empty() { Err(pem(key, path, "no certificate in it".into())) } else { Ok(found) }
}

fn pem(key: &'static str, path: &Path, detail: String) -> ConnectionFileError {
    ConnectionFileError::Pem { key, path: path.to_owned(), detail }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ConnectionFileError> {
    std::fs::read(path).map_err(|source| ConnectionFileError::Read { key, path: path.to_owned(), source })
}

/// How long to wait before the next connection: doubling, with jitter, so that a country's agents
/// do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: FIRST_WAIT }
    }

    /// A connection did useful work.
    pub(super) fn success(&mut self) {
        self.next = FIRST_WAIT;
    }

    /// Another one failed; the wait is between half and all of the doubled time. `chance` is in 0..1.
    pub(super) fn wait(&mut self, chance: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + chance / 2.0);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;

    #[test]
    fn a_file_that_is_missing_or_no_certificate_is_named() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let ca_file = folder.path().join("ca.pem");
        let tls = Some(Tls { ca_file: ca_file.clone(), client: None });
        let broker = Broker { host: "::1".into(), port: 8883, login: None, tls };
        let hospital = "h".parse().expect("valid");
        let missing = options(&hospital, &broker).expect_err("missing").to_string();
        assert!(missing.contains("broker.ca-file") && missing.contains("ca.pem"), "{missing}");
        std::fs::write(&ca_file, "no certificate").expect("writable");
        let empty = options(&hospital, &broker).expect_err("empty").to_string();
        assert!(empty.contains("no certificate in it"), "{empty}");
        let plain = options(&hospital, &Broker { tls: None, ..broker }).expect("nothing to read");
        assert_eq!(plain.broker_address(), ("[::1]".to_owned(), 8883));
    }

    #[test]
    fn waits_double_up_to_a_limit_and_begin_again_after_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..10).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        backoff.success();
        assert_eq!(backoff.wait(0.0).as_millis(), 100);
    }
}
