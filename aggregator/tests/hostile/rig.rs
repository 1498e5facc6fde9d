//! A real aggregator in this process, with TLS on a free port, a CA, certificates, and a logins file.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::broker::front::denial::Denial;
use vardpuls_aggregator::broker::front::logins;
use vardpuls_aggregator::config::Config;
use vardpuls_aggregator::metrics::Metrics;
use vardpuls_aggregator::operators::Token;
use vardpuls_aggregator::store::Store;
use vardpuls_aggregator::{RunError, bind};
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{PublicKey, SigningKey};

use crate::raw::tcp;

pub(crate) fn id(text: &str) -> HospitalId {
    text.parse().expect("valid")
}

/// A CA of the test's own.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub(crate) fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Ca { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, PEM.
    pub(crate) fn issue(&self, common_name: &str, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.serial_number = Some(number(common_name).into());
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A list of the certificates of `number`, PEM: they are not believed any more.
    pub(crate) fn revoke(&self, numbers: &[u64]) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: (*number).into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

/// The serial number of everybody's certificates.
pub(crate) fn number(name: &str) -> u64 {
    name.bytes().fold(1, |number, byte| number * 31 % 1_000_003 + u64::from(byte))
}

/// The aggregator, and what its clients need.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) ca: Ca,
    pub(crate) port: u16,
    pub(crate) local: u16,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Store,
    pub(crate) public_key: PublicKey,
    /// The broker's certificate at the start.
    pub(crate) first_certificate: Vec<u8>,
    /// Mallory's password.
    pub(crate) password: String,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Rig {
    /// Hospitals `good` (key 1) and `mallory` (key 2), who has a login.
    pub(crate) async fn start(limits: &str) -> Rig {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writes");
        let ca = Ca::new();
        let (certificate, key) = ca.issue("broker", &["localhost", "127.0.0.1"]);
        write("ca.pem", &ca.pem);
        write("ca.crl", &ca.revoke(&[]));
        write("broker.pem", &certificate);
        write("broker.key", &key);
        let token = Token::make();
        write("logins.toml", &logins::block(&id("mallory"), token.digest()));
        write("centre.key", &SigningKey::generate_pem().expect("random"));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("centre.key"), private).expect("sets the mode");
        write(
            "aggregator.toml",
            &format!(
                "key-file = \"centre.key\"\nhospitals-dir = \"hospitals.d\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
                 [broker]\nlisten = \"127.0.0.1:0\"\n[broker.network]\nlisten = \"127.0.0.1:0\"\n\
                 cert-file = \"broker.pem\"\nkey-file = \"broker.key\"\nclient-ca-file = \"ca.pem\"\nclient-crl-file = \"ca.crl\"\n\
                 logins-file = \"logins.toml\"\n{limits}"
            ),
        );
        std::fs::create_dir(dir.path().join("hospitals.d")).expect("makes");
        enrol(dir.path(), "good", 1);
        enrol(dir.path(), "mallory", 2);
        let config = Config::load(&dir.path().join("aggregator.toml")).expect("a good config");
        let centre = bind(config, Clock::System).await.expect("binds");
        let (port, local) = (centre.mqtts_addr.expect("with TLS").port(), centre.mqtt_addr.expect("plain").port());
        let (metrics, store, public_key) = (centre.metrics.clone(), centre.store.clone(), centre.public_key);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(centre.run(shutdown.clone()));
        let password = token.text().to_owned();
        let first_certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM").to_vec();
        Rig { dir, ca, port, local, metrics, store, public_key, first_certificate, password, shutdown, running }
    }

    /// TLS for a client with a certificate of this name, or without one.
    pub(crate) fn tls(&self, name: Option<&str>) -> Arc<ClientConfig> {
        self.client(name.map(|name| (&self.ca, name)))
    }

    /// TLS for a client with a certificate of another CA.
    pub(crate) fn tls_of(&self, ca: &Ca, name: &str) -> Arc<ClientConfig> {
        self.client(Some((ca, name)))
    }

    /// The certificate that a newcomer is shown.
    pub(crate) async fn shown_certificate(&self) -> Vec<u8> {
        let stream = tcp(self.port, 9, 1).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(self.tls(None)).connect(name, stream).await.expect("TLS");
        stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
    }

    fn client(&self, own: Option<(&Ca, &str)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem.as_bytes()).expect("PEM")).expect("a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let Some((ca, name)) = own else { return Arc::new(builder.with_no_client_auth()) };
        let (certificate, key) = ca.issue(name, &[]);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        Arc::new(builder.with_client_auth_cert(vec![certificate], key).expect("a pair"))
    }

    pub(crate) fn denied(&self, denial: Denial) -> u64 {
        self.metrics.front.denied(denial)
    }

    /// Waits until a reason was counted at least so often.
    pub(crate) async fn until_denied(&self, denial: Denial, times: u64) {
        until(denial.name(), || self.denied(denial) >= times).await;
    }

    /// Waits until a reason was counted, and it was just so often. A client sees its end before it is counted.
    pub(crate) async fn denied_times(&self, denial: Denial, times: u64) {
        self.until_denied(denial, times).await;
        assert_eq!(self.denied(denial), times, "{}", denial.name());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.running.is_finished()
    }

    pub(crate) async fn stop(self) {
        assert!(!self.running.is_finished(), "the aggregator has ended: {:?}", self.running.await);
        self.shutdown.cancel();
        self.running.await.expect("no panic").expect("no error");
    }
}

fn enrol(dir: &Path, hospital: &str, seed: u8) {
    let public = SigningKey::from_seed(&[seed; 32]).public();
    let mut text =
        format!("hospital = \"{hospital}\"\nname = \"Hospital {hospital}\"\nregion = \"01\"\nstate = \"enrolled\"\n");
    write!(text, "[[key]]\npublic-key = \"{public}\"\nfingerprint = \"{}\"\n", public.fingerprint()).expect("a String");
    std::fs::write(dir.join(format!("hospitals.d/{hospital}.toml")), text).expect("writes");
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
