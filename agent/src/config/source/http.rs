//! The keys of a `[[source]]` table that say how to ask a server: words in, an [`HttpSpec`] out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderName;
use serde::Deserialize;

use super::{Table, too_often};
use crate::config::{ClientCert, ConfigError, Login, duration};
use crate::source::http::{Auth, HttpSpec};

/// The keys that are read here.
pub(super) const KEYS: [&str; 11] = [
    "url",
    "every",
    "timeout",
    "max-bytes",
    "bearer-token-file",
    "username",
    "password-file",
    "header-files",
    "ca-file",
    "client-cert-file",
    "client-key-file",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HttpTable {
    url: String,
    #[serde(default = "default_every", deserialize_with = "duration")]
    every: Duration,
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default = "default_max_bytes")]
    max_bytes: usize,
    bearer_token_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    header_files: BTreeMap<String, PathBuf>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

fn default_every() -> Duration {
    Duration::from_mins(1)
}

fn default_timeout() -> Duration {
    Duration::from_secs(20)
}

fn default_max_bytes() -> usize {
    8 << 20
}

/// How to ask, and how often.
pub(super) fn read(at: &Table<'_>, base: &Path) -> Result<(HttpSpec, Duration), ConfigError> {
    let table: HttpTable = at.document.keys(&at.way, &KEYS)?;
    too_often(at, table.every)?;
    if table.timeout.is_zero() {
        return Err(at.wrong(&["timeout"], "must be longer than nothing"));
    }
    if table.max_bytes == 0 {
        return Err(at.wrong(&["max-bytes"], "must be at least 1"));
    }
    let url = address(&table.url).map_err(|problem| at.wrong(&["url"], problem))?;
    let auth = match (table.bearer_token_file, table.username, table.password_file) {
        (None, None, None) => Auth::None,
        (Some(file), None, None) => Auth::Bearer(base.join(file)),
        (None, Some(username), Some(file)) => Auth::Basic(Login { username, password_file: base.join(file) }),
        (None, Some(_), None) => return Err(at.wrong(&["password-file"], "is missing beside username")),
        (None, None, Some(_)) => return Err(at.wrong(&["username"], "is missing beside password-file")),
        (Some(_), _, _) => {
            return Err(at.wrong(&["bearer-token-file"], "stands beside a login: give one of them"));
        }
    };
    let client = match (table.client_cert_file, table.client_key_file) {
        (Some(cert), Some(key)) => Some(ClientCert { cert_file: base.join(cert), key_file: base.join(key) }),
        (None, None) => None,
        (Some(_), None) => return Err(at.wrong(&["client-key-file"], "is missing beside client-cert-file")),
        (None, Some(_)) => return Err(at.wrong(&["client-cert-file"], "is missing beside client-key-file")),
    };
    for name in table.header_files.keys() {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(at.wrong(&["header-files", name], "is not the name of an HTTP header"));
        }
    }
    if url.scheme_str() == Some("http") {
        let unsafe_key = match &auth {
            Auth::Bearer(_) => Some("bearer-token-file"),
            Auth::Basic(_) => Some("username"),
            Auth::None => (!table.header_files.is_empty()).then_some("header-files"),
        };
        if let Some(key) = unsafe_key.filter(|_| !is_here(&url)) {
            return Err(at.wrong(&[key], "would go over the network in clear; write an https:// url"));
        }
        for (key, given) in [("ca-file", table.ca_file.is_some()), ("client-cert-file", client.is_some())] {
            if given {
                return Err(at.wrong(&[key], "has no effect on an http:// url; write https://"));
            }
        }
    }
    let spec = HttpSpec {
        url,
        auth,
        header_files: table.header_files.into_iter().map(|(name, file)| (name, base.join(file))).collect(),
        ca_file: table.ca_file.map(|file| base.join(file)),
        client,
        timeout: table.timeout,
        max_bytes: table.max_bytes,
    };
    Ok((spec, table.every))
}

/// An address that may be asked.
pub(super) fn address(text: &str) -> Result<Uri, String> {
    const RIGHT: &str = "write http://HOST[:PORT]/PATH or https://…";
    let url: Uri = text.parse().map_err(|e| format!("is no address ({e}); {RIGHT}"))?;
    match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("holds a user or a password; give username and password-file".to_owned())
        }
        (Some("http" | "https"), Some(_)) => Ok(url),
        _ => Err(format!("is no address; {RIGHT}")),
    }
}

/// Whether an address is on this machine.
pub(super) fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
