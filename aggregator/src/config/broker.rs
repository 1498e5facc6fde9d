//! `[broker]`: which broker the centre is a client of.
//!
//! In: the table as it is written. Out: a [`BrokerConfig`] of either a broker of the centre's own, without the keys of
//! another, or somebody else's, with all that its url needs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vardpuls_service::credential;

use super::document::{Document, DocumentError};
use super::network::{EmbeddedBroker, NetworkConfig};

/// Which broker the centre is a client of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// What the centre calls itself there.
    pub client_id: String,
    /// Where it is.
    pub place: BrokerPlace,
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerPlace {
    /// The centre starts one itself.
    Embedded(EmbeddedBroker),
    /// Somebody runs one.
    External(ExternalBroker),
}

/// How to reach a broker that somebody runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalBroker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `mqtts`: TLS; none for `mqtt`.
    pub tls: Option<TlsConfig>,
    /// User name and password.
    pub login: Option<LoginConfig>,
}

/// TLS towards the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Whom to trust, PEM.
    pub ca_file: PathBuf,
    /// The client's certificate and private key, PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A login at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginConfig {
    /// User name.
    pub username: String,
    /// The file that holds the password; a line break at its end does not count.
    pub password_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BrokerTable {
    listen: Option<SocketAddr>,
    network: Option<NetworkConfig>,
    url: Option<String>,
    #[serde(default = "default_client_id")]
    client_id: String,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

fn default_client_id() -> String {
    "vardpuls-aggregator".to_owned()
}

impl BrokerTable {
    pub(super) fn check(self, document: &Document, base: &Path) -> Result<BrokerConfig, DocumentError> {
        if self.client_id.is_empty() {
            return Err(document.wrong("broker.client-id", "must not be empty: the broker knows the centre by it"));
        }
        let client_id = self.client_id.clone();
        let place = match (self.listen, self.network.is_some(), &self.url) {
            (None, false, Some(url)) => self.external(document, base, url)?,
            (None, false, None) => {
                let problem =
                    "give listen or a [broker.network] for a broker of the centre's own, or url for another one";
                return Err(document.wrong("broker", problem));
            }
            (_, _, None) => self.embedded(document, base)?,
            (_, _, Some(_)) => {
                let problem =
                    "stands beside listen or [broker.network]: give either a broker of the centre's own or another one";
                return Err(document.wrong("broker.url", problem));
            }
        };
        Ok(BrokerConfig { client_id, place })
    }

    fn embedded(self, document: &Document, base: &Path) -> Result<BrokerPlace, DocumentError> {
        if let Some(listen) = self.listen.filter(|listen| !listen.ip().is_loopback()) {
            let problem = format!(
                "{listen} can be reached from other machines, and this listener has neither TLS nor logins; \
                 listen on 127.0.0.1 here, and for the network in [broker.network]"
            );
            return Err(document.wrong("broker.listen", problem));
        }
        let foreign = [
            ("broker.username", self.username.is_some()),
            ("broker.password-file", self.password_file.is_some()),
            ("broker.ca-file", self.ca_file.is_some()),
            ("broker.client-cert-file", self.client_cert_file.is_some()),
            ("broker.client-key-file", self.client_key_file.is_some()),
        ];
        if let Some((key, _)) = foreign.iter().find(|(_, given)| *given) {
            let problem = "belongs to an external broker: it has no effect beside listen or [broker.network]";
            return Err(document.wrong(key, problem));
        }
        let network = self.network.map(|network| network.check(document, base)).transpose()?;
        Ok(BrokerPlace::Embedded(EmbeddedBroker { listen: self.listen, network }))
    }

    fn external(&self, document: &Document, base: &Path, url: &str) -> Result<BrokerPlace, DocumentError> {
        let Some((secure, host, port)) = parse_url(url) else {
            return Err(
                document.wrong("broker.url", format!("{url:?}: write mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"))
            );
        };
        let client = match (&self.client_cert_file, &self.client_key_file) {
            (Some(cert), Some(key)) => Some((credential::locate(base, cert), credential::locate(base, key))),
            (None, None) => None,
            (Some(_), None) => {
                return Err(document.wrong("broker.client-key-file", "is missing beside client-cert-file"));
            }
            (None, Some(_)) => {
                return Err(document.wrong("broker.client-cert-file", "is missing beside client-key-file"));
            }
        };
        let tls = match (&self.ca_file, secure) {
            (Some(ca), true) => Some(TlsConfig { ca_file: credential::locate(base, ca), client }),
            (None, true) => {
                return Err(document.wrong("broker.ca-file", "is missing: mqtts needs to know whom to trust"));
            }
            (None, false) if client.is_none() => None,
            (ca, false) => {
                let key = if ca.is_some() { "broker.ca-file" } else { "broker.client-cert-file" };
                return Err(document.wrong(key, "has no effect on an mqtt:// url; write mqtts://"));
            }
        };
        let login = match (&self.username, &self.password_file) {
            (Some(username), Some(file)) => {
                Some(LoginConfig { username: username.clone(), password_file: credential::locate(base, file) })
            }
            (None, None) => None,
            (Some(_), None) => return Err(document.wrong("broker.password-file", "is missing beside username")),
            (None, Some(_)) => return Err(document.wrong("broker.username", "is missing beside password-file")),
        };
        Ok(BrokerPlace::External(ExternalBroker { host, port, tls, login }))
    }
}

/// (TLS, host, port) of a broker's url.
fn parse_url(url: &str) -> Option<(bool, String, u16)> {
    let (secure, rest) = match url.split_once("://")? {
        ("mqtt", rest) => (false, rest),
        ("mqtts", rest) => (true, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|&p| p > 0)?,
        None if secure => 8883,
        None => 1883,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (!host.is_empty() && host.chars().all(plain)).then(|| (secure, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert_eq!(parse_url("mqtt://h"), Some((false, "h".into(), 1883)));
        assert_eq!(parse_url("mqtts://10.0.0.1:99/"), Some((true, "10.0.0.1".into(), 99)));
        assert_eq!(parse_url("mqtt://[::1]:7"), Some((false, "::1".into(), 7)));
        for wrong in
            ["", "h", "mqtt://", "mqtt://:1", "mqtt://h:", "mqtt://h:0", "mqtt://h:99999", "mqtt://u@h", "mqtt://h/x"]
        {
            assert_eq!(parse_url(wrong), None, "{wrong}");
        }
    }
}
