//! The `[broker]` table: the way to the centre, whom to trust on it, and as whom.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vardpuls_service::credential;

use super::ConfigError;
use super::document::{Document, Step::Key};

/// The way to the centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name and password.
    pub login: Option<Login>,
    /// `mqtts`: TLS; none for `mqtt`.
    pub tls: Option<Tls>,
}

/// A login at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// The file that holds the password; a line break at its end does not count.
    pub password_file: PathBuf,
}

/// TLS towards the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whom to trust, PEM.
    pub ca_file: PathBuf,
    /// The agent's own certificate.
    pub client: Option<ClientCert>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    /// The certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
}

impl fmt::Display for Broker {
    /// As an url, without the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BrokerTable {
    url: String,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

impl BrokerTable {
    pub(super) fn check(self, document: &Document<'_>, base: &Path) -> Result<Broker, ConfigError> {
        let wrong = |key, problem: &str| document.wrong(&[Key("broker"), Key(key)], problem);
        let (secure, host, port) =
            parse_url(&self.url).ok_or_else(|| wrong("url", "write mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"))?;
        let client = match (self.client_cert_file, self.client_key_file) {
            (Some(cert), Some(key)) => {
                Some(ClientCert { cert_file: credential::locate(base, cert), key_file: credential::locate(base, key) })
            }
            (None, None) => None,
            (Some(_), None) => return Err(wrong("client-key-file", "is missing beside client-cert-file")),
            (None, Some(_)) => return Err(wrong("client-cert-file", "is missing beside client-key-file")),
        };
        let tls = match (self.ca_file, secure) {
            (Some(ca), true) => Some(Tls { ca_file: credential::locate(base, ca), client }),
            (None, true) => return Err(wrong("ca-file", "is missing: mqtts needs to know whom to trust")),
            (Some(_), false) => return Err(wrong("ca-file", "has no effect on an mqtt:// url; write mqtts://")),
            (None, false) if client.is_some() => {
                return Err(wrong("client-cert-file", "has no effect on an mqtt:// url; write mqtts://"));
            }
            (None, false) => None,
        };
        let login = match (self.username, self.password_file) {
            (Some(username), Some(file)) => Some(Login { username, password_file: credential::locate(base, file) }),
            (None, None) => None,
            (Some(_), None) => return Err(wrong("password-file", "is missing beside username")),
            (None, Some(_)) => return Err(wrong("username", "is missing beside password-file")),
        };
        Ok(Broker { host, port, login, tls })
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
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
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
        for wrong in
            ["", "h", "mqtt://", "mqtt://:1", "mqtt://h:", "mqtt://h:0", "mqtt://h:99999", "mqtt://u@h", "mqtt://h/x"]
        {
            assert_eq!(parse_url(wrong), None, "{wrong}");
        }
    }
}
