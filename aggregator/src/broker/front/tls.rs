//! The network listener's certificate, and whose certificates it believes.
//!
//! In: PEM files. Out: what a TLS server needs, the names in a client's certificate, and what `check`
//! says about ours. A client without a certificate passes the handshake: it may have a login, and is
//! otherwise told at its CONNECT what is missing.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::broker::{BrokerError, certificates, file_error, read};
use crate::config::NetworkConfig;

/// A TLS server, and what it goes by.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) server: Arc<ServerConfig>,
    /// Judges clients' certificates; none where only logins are believed.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Our own certificate.
    pub(super) certificate: CertificateDer<'static>,
}

/// Reads the files of the network listener.
pub(super) fn load(config: &NetworkConfig) -> Result<Tls, BrokerError> {
    let chain = certificates(&config.cert_file)?;
    let certificate = chain.first().expect("there is at least one").clone();
    let key = PrivateKeyDer::from_pem_slice(&read(&config.key_file)?).map_err(|e| file_error(&config.key_file, e))?;
    let verifier = match &config.client_ca_file {
        Some(ca) => Some(verifier(ca, config.client_crl_file.as_deref())?),
        None => None,
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let server = builder
        .with_single_cert(chain, key)
        .map_err(|e| file_error(&config.cert_file, format!("{e}; it must be X.509 v3 and belong to key-file")))?;
    Ok(Tls { server: Arc::new(server), verifier, certificate })
}

fn verifier(ca_file: &Path, crl_file: Option<&Path>) -> Result<Arc<dyn ClientCertVerifier>, BrokerError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).map_err(|e| file_error(ca_file, e))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).allow_unauthenticated();
    if let Some(file) = crl_file {
        let lists = CertificateRevocationListDer::pem_slice_iter(&read(file)?).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|e| file_error(file, e))?;
        if lists.is_empty() {
            return Err(file_error(file, "it holds no PEM block \"X509 CRL\""));
        }
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    builder.build().map_err(|e| file_error(ca_file, e))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The names in a certificate: its common name and its DNS names, as far as they can be ours.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<HospitalId> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
    let dns = alternative.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    common.chain(dns).filter_map(|name| name.parse().ok()).collect()
}

/// What `check` says about our certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its first instant.
    pub from: Time,
    /// Its last instant.
    pub until: Time,
}

/// Describes the certificate that the network listener shows; all its files are read and held against each other.
pub fn describe(config: &NetworkConfig) -> Result<Described, BrokerError> {
    let tls = load(config)?;
    let (_, certificate) = X509Certificate::from_der(&tls.certificate).map_err(|e| file_error(&config.cert_file, e))?;
    let time = |time: x509_parser::time::ASN1Time| Time(u64::try_from(time.timestamp()).unwrap_or(0) * 1000);
    Ok(Described {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        from: time(certificate.validity().not_before),
        until: time(certificate.validity().not_after),
    })
}

/// A TLS client that talks to the holder of this very certificate: the watchdog, to its own process.
pub(in crate::broker) fn pinned(certificate: CertificateDer<'static>) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let pinned = Arc::new(Pinned { certificate, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
