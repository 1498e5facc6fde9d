//! `check`: everything that `run` needs, looked at one by one. Nothing is changed, made or bound for good.
//!
//! In: the config file. Out: one line for each thing, `ok`, `warning` or `failed`, and what to do.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vardpuls_shared::clock::Clock;

use crate::alert::rules::Rules;
use crate::broker::front;
use crate::config::{BrokerPlace, Config, ExternalBroker, NetworkConfig, key_file};
use crate::enrolment::{EnrolError, Enrolments, KeyState, State};
use crate::nation::Nation;
use crate::operators;
use crate::receivers;
use crate::store::{Condition, Store, StoreError};

/// A certificate that ends sooner should be renewed now.
const CERTIFICATE_ENDS_SOON: Duration = Duration::from_hours(30 * 24);

/// What was found, a line at a time.
#[derive(Debug, Default)]
struct Findings {
    lines: Vec<String>,
    failed: bool,
}

impl Findings {
    fn ok(&mut self, text: impl std::fmt::Display) {
        self.lines.push(format!("ok       {text}"));
    }

    fn warning(&mut self, text: impl std::fmt::Display) {
        self.lines.push(format!("warning  {text}"));
    }

    fn failed(&mut self, text: impl std::fmt::Display) {
        self.lines.push(format!("failed   {text}"));
        self.failed = true;
    }
}

/// Prints what it finds; 1 if anything failed.
pub(super) fn check(file: &Path) -> Result<u8, Box<dyn Error>> {
    let mut findings = Findings::default();
    match Config::load(file) {
        Ok(config) => {
            findings.ok(format_args!("config {}", file.display()));
            key(&mut findings, &config);
            nation_and_hospitals(&mut findings, &config);
            broker(&mut findings, &config);
            http(&mut findings, &config);
            store(&mut findings, &config)?;
            rules(&mut findings, &config);
            who_may_act(&mut findings, &config);
            receivers_of_alarms(&mut findings, &config);
        }
        Err(e) => findings.failed(format_args!("config {e}")),
    }
    let mut out = io::stdout().lock();
    for line in &findings.lines {
        writeln!(out, "{line}")?;
    }
    Ok(u8::from(findings.failed))
}

fn key(findings: &mut Findings, config: &Config) {
    match key_file::load(&config.key_file) {
        Ok(key) => findings.ok(format_args!("key {}, public {}", config.key_file.display(), key.public())),
        Err(e) => findings.failed(e),
    }
}

fn nation_and_hospitals(findings: &mut Findings, config: &Config) {
    let nation = match Nation::load(config.nation_file.as_deref()) {
        Ok(nation) => nation,
        Err(e) => return findings.failed(e),
    };
    findings.ok(format_args!("nation {}, {} regions", nation.name, nation.regions.len()));
    let enrolments = match Enrolments::open(&config.hospitals_dir, Arc::new(nation)) {
        Ok(enrolments) => enrolments,
        Err(e) => return findings.failed(e),
    };
    let registry = enrolments.registry().load_full();
    let now = Clock::System.now();
    for enrolment in registry.iter() {
        let line = format!("hospital {}, {}, keys: {}", enrolment.hospital, enrolment.name, enrolment.keys.len());
        let believed = enrolment.keys.iter().any(|key| matches!(key.state(now), KeyState::Valid(_)));
        match enrolment.state {
            State::Suspended => findings.warning(format_args!("{line}: suspended, its reports are refused")),
            State::Enrolled if believed => findings.ok(line),
            State::Enrolled => {
                findings.warning(format_args!("{line}: none is believed now; enrol a new card of the hospital"));
            }
        }
    }
    registry.faults().iter().for_each(|fault: &EnrolError| findings.failed(fault));
    if registry.iter().next().is_none() {
        findings.warning("no hospital is enrolled; enrol one with: vardpuls-aggregator enrol CARD --config FILE");
    }
}

fn rules(findings: &mut Findings, config: &Config) {
    let file = config.alerts.rules_file.as_deref();
    let from = file.map_or_else(|| "that ship".to_owned(), |file| format!("of {}", file.display()));
    match Rules::load(file) {
        Ok(rules) if rules.is_empty() => findings.warning(format_args!("rules {from}: none, nothing is ever an alarm")),
        Ok(rules) => findings.ok(format_args!("rules {from}, {}", rules.len())),
        Err(e) => findings.failed(format_args!("rules {e}")),
    }
}

fn receivers_of_alarms(findings: &mut Findings, config: &Config) {
    match receivers::open(config) {
        Ok(receivers) => {
            for receiver in receivers {
                findings.ok(format_args!("receiver {}, not asked", receiver.name));
            }
        }
        Err(e) => {
            let cause = e.source().map_or_else(String::new, ToString::to_string);
            let said = e.to_string();
            findings.failed(if said.ends_with(&cause) { said } else { format!("{said}: {cause}") });
        }
    }
}

fn who_may_act(findings: &mut Findings, config: &Config) {
    let Some(file) = &config.alerts.operators_file else {
        return findings.warning("no operators-file under [alerts]: nobody can acknowledge an alarm");
    };
    let operators = match operators::read(file) {
        Ok(operators) => operators,
        Err(e) => return findings.failed(format_args!("operators {e}")),
    };
    let now = Clock::System.now();
    findings.ok(format_args!("operators {}, {} with a token", file.display(), operators.iter().count()));
    for operator in operators.iter().filter(|operator| operator.until.is_some_and(|until| now >= until)) {
        findings.warning(format_args!("operator {}: the token's time is over; make a new one", operator.name));
    }
}

fn broker(findings: &mut Findings, config: &Config) {
    match &config.broker.place {
        BrokerPlace::Embedded(embedded) => {
            if let Some(listen) = embedded.listen {
                address(findings, "broker", listen);
            }
            if let Some(network) = &embedded.network {
                network_listener(findings, network);
            }
        }
        BrokerPlace::External(external) => {
            let ExternalBroker { host, port, tls, login } = external;
            let files = tls
                .iter()
                .flat_map(|tls| [&tls.ca_file].into_iter().chain(tls.client.iter().flat_map(|(c, k)| [c, k])));
            let mut all_there = true;
            for file in files.chain(login.iter().map(|login| &login.password_file)) {
                if let Err(e) = std::fs::File::open(file) {
                    all_there = false;
                    findings.failed(format_args!("broker file {} cannot be read: {e}", file.display()));
                }
            }
            if tls.is_none() {
                findings.warning(format_args!(
                    "broker {host}:{port} without TLS: passwords and figures can be read on the way; use mqtts://"
                ));
            } else if all_there {
                findings.ok(format_args!("broker {host}:{port} with TLS, not connected to"));
            }
        }
    }
}

/// The certificate that hospitals see, whom it lets in, and how many.
fn network_listener(findings: &mut Findings, network: &NetworkConfig) {
    let now = Clock::System.now();
    address(findings, "broker, with TLS,", network.listen);
    match front::describe(network) {
        Ok(front::Described { subject, issuer, from, until }) => {
            let line = format!("broker certificate {subject}, issued by {issuer}, until {until}");
            if now > until {
                findings
                    .failed(format_args!("{line}: it has ended; put a new one into {}", network.cert_file.display()));
            } else if now < from {
                findings.failed(format_args!("{line}: it begins only at {from}; look at the clock"));
            } else if Duration::from_millis(until.0 - now.0) < CERTIFICATE_ENDS_SOON {
                findings.warning(format_args!("{line}: renew it; the files are read again when they change"));
            } else {
                findings.ok(line);
            }
        }
        Err(e) => findings.failed(e),
    }
    if let Some(file) = &network.client_ca_file {
        findings.ok(format_args!("broker believes certificates of {}", file.display()));
    }
    if let Some(file) = &network.logins_file {
        match front::logins::read(file) {
            Ok(logins) => {
                let over: Vec<_> = logins.iter(now).filter(|(_, over)| *over).map(|(name, _)| name).collect();
                findings.ok(format_args!("broker logins {}, {}", file.display(), logins.iter(now).count()));
                for name in over {
                    findings.warning(format_args!("broker login {name}: its time is over; make a new one"));
                }
            }
            Err(e) => findings.failed(format_args!("broker logins {e}")),
        }
    }
    let NetworkConfig { max_connections, max_per_address, .. } = network;
    findings.ok(format_args!("broker takes {max_connections} clients, {max_per_address} from one address"));
}

fn http(findings: &mut Findings, config: &Config) {
    let listen = config.http.listen;
    if !listen.ip().is_loopback() {
        findings.warning(format_args!(
            "http {listen} can be reached from other machines without TLS, and tokens can be read on the way; put a TLS proxy before it"
        ));
    }
    address(findings, "http", listen);
}

fn address(findings: &mut Findings, what: &str, listen: std::net::SocketAddr) {
    match TcpListener::bind(listen) {
        Ok(_) => findings.ok(format_args!("{what} {listen} is free")),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => findings.warning(format_args!(
            "{what} {listen} is in use, by a running aggregator or by another program; see: ss -ltnp"
        )),
        Err(e) => findings.failed(format_args!("{what} {listen} cannot be listened on: {e}")),
    }
}

/// Whether a path's parent is a folder; beside a config file that was named without one, that is the working folder.
fn is_folder(parent: &Path) -> bool {
    parent.as_os_str().is_empty() || parent.is_dir()
}

fn store(findings: &mut Findings, config: &Config) -> io::Result<()> {
    let path = config.store.path.display();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(Store::examine(&config.store)) {
        Ok(Condition::Present { schema }) => {
            findings.ok(format_args!("store {path}, schema {schema}"));
            match runtime.block_on(Store::examine_journal(&config.store)) {
                Ok(entries) => findings.ok(format_args!("journal of alarms, {entries} entries, unbroken")),
                Err(e) => findings.failed(e),
            }
        }
        Ok(Condition::Absent) if config.store.path.parent().is_none_or(is_folder) => {
            findings.ok(format_args!("store {path} does not exist yet and will be made"));
        }
        Ok(Condition::Absent) => findings.failed(StoreError::Unreachable {
            path: config.store.path.clone(),
            reason: "its folder does not exist".to_owned(),
        }),
        Err(e) => findings.failed(e),
    }
    Ok(())
}
