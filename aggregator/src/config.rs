//! The aggregator's config: one strict TOML file.
//!
//! In: the file. Out: a [`Config`] in which everything that can be checked without touching the
//! machine is already right, so that the rest of the program asks no further questions of it.
//! Relative paths are relative to the config file. Errors name file, line and key.

mod alerts;
mod broker;
pub mod document;
pub mod key_file;
mod network;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use vardpuls_service::credential;

use document::{Document, DocumentError, duration};

pub use alerts::{AlertStatus, AlertmanagerConfig, AlertsConfig, WebhookConfig};
pub use broker::{BrokerConfig, BrokerPlace, ExternalBroker, LoginConfig, TlsConfig};
pub use network::{EmbeddedBroker, NetworkConfig};

use broker::BrokerTable;

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

impl Config {
    /// Reads and checks a config file.
    pub fn load(file: &Path) -> Result<Config, DocumentError> {
        Config::from_document(&Document::read(file)?, file.parent().unwrap_or(Path::new("")))
    }

    /// Checks the text of a config; `file` is what errors call it and what relative paths are relative to.
    pub fn parse(file: &Path, text: &str) -> Result<Config, DocumentError> {
        Config::from_document(&Document::of(file, text), file.parent().unwrap_or(Path::new("")))
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
        Ok(Config {
            key_file: credential::locate(base, file.key_file),
            hospitals_dir: base.join(file.hospitals_dir),
            nation_file: file.nation_file.map(|nation| base.join(nation)),
            broker: file.broker.check(document, base)?,
            store: file.store,
            ingest: file.ingest,
            feed: file.feed,
            http: file.http,
            alerts: file.alerts.locate(base),
            alertmanager: file.alertmanager.map(|alertmanager| alertmanager.check(document)).transpose()?,
            webhooks: alerts::check_webhooks(document, base, file.webhook)?,
        })
    }
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
}
