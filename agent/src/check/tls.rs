//! The TLS handshake with the broker: who it says it is, who vouches for it, until when.
//!
//! In: a connected stream and the config. Out: a finding. rustls decides what is believed, as in
//! service; this file only looks over its shoulder, so that a refusal can show the certificate that
//! was refused. Nothing but the handshake is sent.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use vardpuls_shared::clock::Time;

use crate::config::{Broker, Tls};
use crate::publisher::connection;

use super::broker::ending;
use super::certificate::Certificate;
use super::finding::{Finding, Level};

const STEP: &str = "tls";
/// How long the broker may take for each of its answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shakes hands over `stream`. Blocks for a few answers at most.
pub(super) fn check(broker: &Broker, tls: &Tls, stream: TcpStream, now: Time) -> Finding {
    let witness = match Witness::new(tls, now) {
        Ok(witness) => Arc::new(witness),
        Err(finding) => return *finding,
    };
    let outcome = shake(broker, tls, stream, &witness);
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    judge(broker, tls, outcome, seen.as_deref(), now)
}

fn shake(broker: &Broker, tls: &Tls, mut stream: TcpStream, witness: &Arc<Witness>) -> Result<(), Error> {
    let general = |e: &dyn std::fmt::Display| Error::General(e.to_string());
    let mut config = connection::client_config(tls).map_err(|e| general(&e))?;
    config.dangerous().set_certificate_verifier(Arc::clone(witness) as Arc<dyn ServerCertVerifier>);
    let name = ServerName::try_from(broker.host.clone()).map_err(|e| general(&e))?;
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let prepared = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    prepared.map_err(|e| general(&e))?;
    while client.is_handshaking() {
        client.complete_io(&mut stream).map_err(|e| match e.downcast::<Error>() {
            Ok(e) => e,
            Err(e) => general(&e),
        })?;
    }
    client.send_close_notify();
    // Whether it hears our goodbye is no matter.
    let _ = client.complete_io(&mut stream);
    Ok(())
}

/// What the handshake means.
fn judge(broker: &Broker, tls: &Tls, outcome: Result<(), Error>, seen: Option<&[u8]>, now: Time) -> Finding {
    let (ca, host) = (tls.ca_file.display(), &broker.host);
    let Some(seen) = seen.and_then(Certificate::read) else {
        let e = outcome.err().map_or_else(|| "no certificate was shown".to_owned(), |e| e.to_string());
        let remedy = "check that the port in broker.url is the broker's TLS port, and what its operator's log says";
        return Finding::failed(STEP, format!("no handshake: {e}"), remedy);
    };
    let whose = format!("the broker's certificate, for {}, issued by {}", names(&seen), seen.issuer);
    let renew = "the broker's operator has to renew it";
    let fault = match outcome {
        Ok(()) => None,
        Err(Error::InvalidCertificate(fault)) => Some(fault),
        Err(e) => {
            let remedy =
                "see the certificate finding; the broker may want a client certificate or another version of TLS";
            return Finding::failed(STEP, format!("{whose}: the handshake failed: {e}"), remedy);
        }
    };
    match fault {
        None => ending(STEP, &whose, &seen, now, renew)
            .unwrap_or_else(|| Finding::ok(STEP, format!("{whose}, valid until {}", seen.until))),
        Some(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => ending(STEP, &whose, &seen, now, renew).filter(|f| f.level == Level::Failed).unwrap_or_else(|| {
            Finding::failed(STEP, format!("{whose}: a certificate above it is not valid now"), renew)
        }),
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => Finding::failed(
            STEP,
            format!("{whose}: it is not for {host}, as broker.url calls it"),
            format!("write one of its names in broker.url, or have the operator add {host} to it"),
        ),
        Some(CertificateError::UnknownIssuer) => Finding::failed(
            STEP,
            format!("{whose}: no authority in {ca} vouches for it"),
            "ask the broker's operator for the certificate of the authority, and put it into ca-file; if you did not \
             expect another issuer, somebody may stand between",
        ),
        Some(fault) => Finding::failed(STEP, format!("{whose}: {}", Error::InvalidCertificate(fault)), renew),
    }
}

fn names(certificate: &Certificate) -> String {
    if certificate.names.is_empty() { certificate.subject.clone() } else { certificate.names.join(", ") }
}

/// rustls' own verifier, which tells what it saw. By the clock that was passed in.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    now: UnixTime,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    fn new(tls: &Tls, now: Time) -> Result<Witness, Box<Finding>> {
        let failed =
            |text: String| Box::new(Finding::failed(STEP, text, "put the authority's certificate, PEM, into ca-file"));
        let roots = connection::roots(tls).map_err(|e| Box::new(Finding::of(STEP, Level::Failed, &e)))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|e| failed(format!("ca-file {}: {e}", tls.ca_file.display())))?;
        let now = UnixTime::since_unix_epoch(now.since(Time(0)));
        Ok(Witness { judge, now, seen: Mutex::default() })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.to_vec());
        self.judge.verify_server_cert(certificate, between, name, ocsp, self.now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
