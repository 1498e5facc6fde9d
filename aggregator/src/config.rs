//! The aggregator's config: one strict TOML file.
//!
//! In: the file. Out: a [`Config`] in which everything that can be checked without touching the
//! machine is already right, so that the rest of the program asks no further questions of it.
//! Relative paths are relative to the config file. Errors name file, line and key.

pub mod document;
pub mod key_file;
mod network;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use vardpuls_service::credential;
use vardpuls_shared::alert::Severity;
use vardpuls_shared::hospital::HospitalId;

use document::{Document, DocumentError, duration};

pub use network::{EmbeddedBroker, NetworkConfig};

/// The whole config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The centre's private key, PKCS#8 PEM, mode 0600.
    pub key_file: PathBuf,
    /// One enrolment file a hospital.
    pub hospitals_dir: PathBuf,
    /// The nation; Sweden where there is none.
    pub nation_file: Option<PathBuf>,
    /// Which broker.
    pub broker: BrokerConfig,
    /// Where reports and history rest.
    pub store: StoreConfig,
    /// What waits for verification.
    pub ingest: IngestConfig,
    /// What is published, and how often.
    pub feed: FeedConfig,
    /// The HTTP surface.
    pub http: HttpConfig,
    /// What is alarming, and who may act on it.
    pub alerts: AlertsConfig,
    /// Prometheus Alertmanager, where there is one.
    pub alertmanager: Option<AlertmanagerConfig>,
    /// Who is told over signed webhooks.
    pub webhooks: Vec<WebhookConfig>,
}

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

/// Where reports and history rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreConfig {
    /// The SQLite file.
    pub path: PathBuf,
    /// How long reports are kept; the newest of each hospital stays for good.
    #[serde(deserialize_with = "duration")]
    pub keep_reports: Duration,
    /// How long history samples are kept.
    #[serde(deserialize_with = "duration")]
    pub keep_history: Duration,
    /// How often every rollup is sampled into the history.
    #[serde(deserialize_with = "duration")]
    pub sample_every: Duration,
}

/// What waits for verification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IngestConfig {
    /// Messages that may wait; beyond it each hospital's newest report is kept.
    pub queue: usize,
}

/// What is published, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FeedConfig {
    /// Between two publications of the same scope.
    #[serde(deserialize_with = "duration")]
    pub min_gap: Duration,
    /// Whether the unsigned JSON twin is published.
    pub json: bool,
    /// A hospital's clock that is further off is flagged.
    #[serde(deserialize_with = "duration")]
    pub clock_tolerance: Duration,
}

/// The HTTP surface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// Where it listens; port 0 is any free port.
    pub listen: SocketAddr,
    /// A line for the dashboard and the status, as in an exercise.
    pub notice: Option<String>,
}

/// What is alarming, and who may act on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlertsConfig {
    /// The rules; the built-in ones where there is none. Read again when it changes.
    pub rules_file: Option<PathBuf>,
    /// Who may act, with the digests of their tokens; without it nobody can. Read again when it changes.
    pub operators_file: Option<PathBuf>,
    /// `test` where the figures are not real: alarms then say so everywhere.
    pub status: AlertStatus,
}

/// Whether alarms outside drills are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// They are.
    #[default]
    Actual,
    /// They come from figures that are not real.
    Test,
}

/// Prometheus Alertmanager, told by its v2 API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlertmanagerConfig {
    /// Where it is, without the path: `http://127.0.0.1:9093`.
    pub url: String,
    /// How often what stands is told again; it resolves what it has not heard of for four times as long.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub repeat_every: Duration,
}

/// A receiver of signed webhooks (Standard Webhooks).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookConfig {
    /// What it is called in logs and metrics, and by what its place in the journal is kept: 1 to 31 of A-Za-z0-9_-.
    pub name: String,
    /// Where changes are posted.
    pub url: String,
    /// The file with the shared secret: `whsec_` and base64 of 24 to 64 bytes.
    pub secret_file: PathBuf,
    /// Nothing below this severity.
    #[serde(default = "notice")]
    pub least_severity: Severity,
}

fn one_minute() -> Duration {
    Duration::from_mins(1)
}

fn notice() -> Severity {
    Severity::Notice
}

const DAY: Duration = Duration::from_hours(24);

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig {
            path: "vardpuls.db".into(),
            keep_reports: DAY * 400,
            keep_history: DAY * 1100,
            sample_every: Duration::from_mins(5),
        }
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig { queue: 20_000 }
    }
}

impl Default for FeedConfig {
    fn default() -> Self {
        FeedConfig { min_gap: Duration::from_millis(200), json: true, clock_tolerance: Duration::from_mins(1) }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), notice: None }
    }
}

/// The file as it is written, before the parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    key_file: PathBuf,
    hospitals_dir: PathBuf,
    nation_file: Option<PathBuf>,
    broker: BrokerTable,
    #[serde(default)]
    store: StoreConfig,
    #[serde(default)]
    ingest: IngestConfig,
    #[serde(default)]
    feed: FeedConfig,
    #[serde(default)]
    http: HttpConfig,
    #[serde(default)]
    alerts: AlertsConfig,
    alertmanager: Option<AlertmanagerConfig>,
    #[serde(default)]
    webhook: Vec<WebhookConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BrokerTable {
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

impl Config {
    /// Reads and checks a config file.
    pub fn load(file: &Path) -> Result<Config, DocumentError> {
        Config::from_document(&Document::read(file)?, file.parent().unwrap_or(Path::new("")))
    }

    /// Checks a config whose relative paths are relative to `base`.
    fn from_document(document: &Document, base: &Path) -> Result<Config, DocumentError> {
        let mut file: Written = document.parse()?;
        file.store.path = base.join(file.store.path);
        let positive = [
            ("store.keep-reports", file.store.keep_reports),
            ("store.keep-history", file.store.keep_history),
            ("store.sample-every", file.store.sample_every),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, d)| d.as_secs() == 0) {
            return Err(document.wrong(key, "must be at least one second"));
        }
        if file.ingest.queue == 0 {
            return Err(document.wrong("ingest.queue", "must be at least 1"));
        }
        if let Some(alertmanager) = &file.alertmanager {
            if !is_http(&alertmanager.url) {
                let problem = format!("{:?}: write http://HOST:9093 or https://…", alertmanager.url);
                return Err(document.wrong("alertmanager.url", problem));
            }
            if alertmanager.repeat_every.as_secs() == 0 {
                return Err(document.wrong("alertmanager.repeat-every", "must be at least one second"));
            }
        }
        Ok(Config {
            key_file: credential::locate(base, file.key_file),
            hospitals_dir: base.join(file.hospitals_dir),
            nation_file: file.nation_file.map(|nation| base.join(nation)),
            broker: file.broker.check(document, base)?,
            store: file.store,
            ingest: file.ingest,
            feed: file.feed,
            http: file.http,
            alerts: AlertsConfig {
                rules_file: file.alerts.rules_file.map(|rules| base.join(rules)),
                operators_file: file.alerts.operators_file.map(|operators| base.join(operators)),
                ..file.alerts
            },
            alertmanager: file.alertmanager,
            webhooks: check_webhooks(document, base, file.webhook)?,
        })
    }
}

/// Names are told apart, and are what a receiver's place in the journal is kept by.
fn check_webhooks(
    document: &Document,
    base: &Path,
    webhooks: Vec<WebhookConfig>,
) -> Result<Vec<WebhookConfig>, DocumentError> {
    let mut names = BTreeSet::new();
    let check = |webhook: WebhookConfig| {
        if let Err(e) = HospitalId::new(&webhook.name) {
            return Err(document.wrong("webhook.name", format!("{:?}: {e}", webhook.name)));
        }
        if !names.insert(webhook.name.clone()) {
            return Err(document.wrong("webhook.name", format!("{:?} stands twice", webhook.name)));
        }
        if !is_http(&webhook.url) {
            return Err(document.wrong("webhook.url", format!("{:?}: write http://… or https://…", webhook.url)));
        }
        Ok(WebhookConfig { secret_file: credential::locate(base, &webhook.secret_file), ..webhook })
    };
    webhooks.into_iter().map(check).collect()
}

fn is_http(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
}

impl BrokerTable {
    fn check(self, document: &Document, base: &Path) -> Result<BrokerConfig, DocumentError> {
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

    fn read(text: &str) -> Result<Config, String> {
        Config::from_document(&Document::of(Path::new("c.toml"), text), Path::new("/etc/v")).map_err(|e| e.to_string())
    }

    const HEAD: &str = "key-file = \"k\"\nhospitals-dir = \"/h\"\n";

    fn broker(table: &str) -> Result<BrokerPlace, String> {
        read(&format!("{HEAD}[broker]\n{table}")).map(|config| config.broker.place)
    }

    #[test]
    fn the_shipped_config_is_right() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/aggregator.toml");
        let config = Config::load(&file).expect("the shipped file");
        assert_eq!(config.store.keep_reports, StoreConfig::default().keep_reports);
        assert_eq!((config.feed, config.ingest, config.http), <_>::default());
    }

    #[test]
    fn the_shortest_config_has_defaults_and_paths_beside_the_file() {
        let config = read(&format!("{HEAD}[broker]\nlisten = \"127.0.0.1:0\"\n")).expect("right");
        assert_eq!(config.key_file, Path::new("/etc/v/k"));
        assert_eq!(config.hospitals_dir, Path::new("/h"));
        assert_eq!(config.store.path, Path::new("/etc/v/vardpuls.db"));
        assert_eq!(config.broker.client_id, "vardpuls-aggregator");
    }

    #[test]
    fn an_external_broker_has_all_its_parts() {
        let full = "url = \"mqtts://b.example\"\nca-file = \"ca\"\nclient-cert-file = \"c\"\nclient-key-file = \"ck\"\n\
            username = \"u\"\npassword-file = \"p\"\n";
        assert_eq!(
            broker(full),
            Ok(BrokerPlace::External(ExternalBroker {
                host: "b.example".into(),
                port: 8883,
                tls: Some(TlsConfig {
                    ca_file: "/etc/v/ca".into(),
                    client: Some(("/etc/v/c".into(), "/etc/v/ck".into()))
                }),
                login: Some(LoginConfig { username: "u".into(), password_file: "/etc/v/p".into() }),
            }))
        );
    }

    #[test]
    fn every_error_names_line_and_key() {
        for (table, expected) in [
            ("", "line 3, broker: give listen or a [broker.network]"),
            ("listen = \"127.0.0.1:1\"\nurl = \"mqtt://h\"", "line 5, broker.url: stands beside listen or"),
            ("listen = \"0.0.0.0:1883\"", "line 4, broker.listen: 0.0.0.0:1883 can be reached from other machines"),
            (
                "[broker.network]\nlisten = \"0.0.0.0:8883\"\ncert-file = \"c\"\nkey-file = \"k\"",
                "line 4, broker.network: nobody could log in",
            ),
            (
                "[broker.network]\nlisten = \"0.0.0.0:8883\"\nkey-file = \"k\"",
                "broker.network: missing field `cert-file`",
            ),
            (
                "[broker.network]\nlisten = \"[::]:1\"\ncert-file = \"c\"\nkey-file = \"k\"\nlogins-file = \"l\"\nmax-connections = 0",
                "line 9, broker.network.max-connections: must be 1 to 10000",
            ),
            (
                "[broker.network]\nlisten = \"[::]:1\"\ncert-file = \"c\"\nkey-file = \"k\"\nlogins-file = \"l\"\nclient-crl-file = \"r\"",
                "line 9, broker.network.client-crl-file: has no effect",
            ),
            ("listen = \"localhost\"", "line 4, broker.listen: invalid socket address"),
            ("listen = \"127.0.0.1:1\"\nca-file = \"x\"", "line 5, broker.ca-file: belongs to an external broker"),
            ("url = \"http://h\"", "line 4, broker.url: \"http://h\": write mqtt://HOST[:PORT]"),
            ("url = \"mqtts://h\"", "line 3, broker.ca-file: is missing"),
            ("url = \"mqtt://h\"\nca-file = \"x\"", "line 5, broker.ca-file: has no effect"),
            ("url = \"mqtt://h\"\nusername = \"x\"", "line 3, broker.password-file: is missing"),
            ("url = \"mqtt://h\"\nclient-key-file = \"x\"", "line 3, broker.client-cert-file: is missing"),
            ("url = \"mqtt://h\"\nport = 1", "line 5, broker.port: unknown field `port`"),
            ("listen = \"127.0.0.1:1\"\n[store]\nkeep-reports = \"0d\"", "line 6, store.keep-reports: must be"),
            ("listen = \"127.0.0.1:1\"\n[ingest]\nqueue = 0", "line 6, ingest.queue: must be"),
            (
                "listen = \"127.0.0.1:1\"\n[alertmanager]\nurl = \"h:9093\"",
                "line 6, alertmanager.url: \"h:9093\": write",
            ),
            (
                "listen = \"127.0.0.1:1\"\n[alertmanager]\nurl = \"http://h\"\nrepeat-every = \"0s\"",
                "line 7, alertmanager.repeat-every: must be",
            ),
        ] {
            let error = broker(table).expect_err(table);
            assert!(error.contains(expected), "{table:?}: {error}");
        }
        let missing = read("hospitals-dir = \"h\"\n[broker]\nlisten = \"127.0.0.1:1\"\n").expect_err("no key");
        assert!(missing.contains("missing field `key-file`"), "{missing}");
    }

    #[test]
    fn a_broker_of_its_own_may_listen_on_this_machine_and_on_the_network() {
        let network = "[broker.network]\nlisten = \"0.0.0.0:8883\"\ncert-file = \"c\"\nkey-file = \"k\"\nclient-ca-file = \"ca\"\n";
        let expected = NetworkConfig {
            listen: "0.0.0.0:8883".parse().expect("valid"),
            cert_file: "/etc/v/c".into(),
            key_file: "/etc/v/k".into(),
            client_ca_file: Some("/etc/v/ca".into()),
            client_crl_file: None,
            logins_file: None,
            max_connections: 2000,
            max_per_address: 50,
        };
        for (table, listen) in
            [(network.to_owned(), None), (format!("listen = \"127.0.0.1:1\"\n{network}"), Some("127.0.0.1:1"))]
        {
            let listen = listen.map(|listen| listen.parse().expect("valid"));
            let embedded = EmbeddedBroker { listen, network: Some(expected.clone()) };
            assert_eq!(broker(&table), Ok(BrokerPlace::Embedded(embedded)));
        }
    }

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
