//! Where the centre's own broker listens: in clear on this machine, with TLS for others.
//!
//! A listener that other machines can reach has TLS and a way to log in, or the config is refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::document::{Document, DocumentError};

/// Where the centre's own broker listens, at least one of the two; port 0 is any free port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedBroker {
    /// A loopback address, open to every program of this machine.
    pub listen: Option<SocketAddr>,
    /// Any address, for holders of a certificate or login.
    pub network: Option<NetworkConfig>,
}

/// The listener of the centre's own broker for other machines: TLS, and a certificate or a login of each client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate and what leads to the CA, PEM. All files here are read again when they change.
    pub cert_file: PathBuf,
    /// The certificate's private key, PEM.
    pub key_file: PathBuf,
    /// Whose certificates are believed, PEM; the common name or a DNS name is the client id.
    pub client_ca_file: Option<PathBuf>,
    /// Which of them are not believed any more, PEM.
    pub client_crl_file: Option<PathBuf>,
    /// Who may log in with a password.
    pub logins_file: Option<PathBuf>,
    /// Clients in all.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// Clients from one address (IPv6: one /64).
    #[serde(default = "max_per_address")]
    pub max_per_address: usize,
}

fn max_connections() -> usize {
    2000
}

fn max_per_address() -> usize {
    50
}

/// The most clients that the network listener may be given room for; rumqttd was tried with no more.
const MOST_CONNECTIONS: usize = 10_000;

impl NetworkConfig {
    pub(super) fn check(self, document: &Document, base: &Path) -> Result<NetworkConfig, DocumentError> {
        let wrong = |key: &str, problem: &str| Err(document.wrong(&format!("broker.network.{key}"), problem));
        if self.client_ca_file.is_none() && self.logins_file.is_none() {
            return Err(document.wrong(
                "broker.network",
                "nobody could log in: give client-ca-file for client certificates, or logins-file, or both",
            ));
        }
        if self.client_crl_file.is_some() && self.client_ca_file.is_none() {
            return wrong("client-crl-file", "has no effect without client-ca-file");
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.max_connections) {
            return wrong("max-connections", &format!("must be 1 to {MOST_CONNECTIONS}"));
        }
        if self.max_per_address == 0 {
            return wrong("max-per-address", "must be at least 1");
        }
        let beside = |file: PathBuf| base.join(file);
        Ok(NetworkConfig {
            cert_file: beside(self.cert_file),
            key_file: beside(self.key_file),
            client_ca_file: self.client_ca_file.map(beside),
            client_crl_file: self.client_crl_file.map(beside),
            logins_file: self.logins_file.map(beside),
            ..self
        })
    }
}
