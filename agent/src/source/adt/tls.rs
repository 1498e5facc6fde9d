//! TLS of the listener: its certificate, and whose senders it takes.
//!
//! In: PEM files that the config names, read at each start of the source. Out: an acceptor. Without `client-ca-file`
//! the sender is not asked who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The listener's certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Who has to have signed a sender's certificate, PEM.
    pub client_ca_file: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file that is no PEM, or cannot be read.
    #[error("tls.{key}: {}: {detail}; it must be PEM, and the agent's user must be able to read it", path.display())]
    File {
        /// The key in the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Certificate, key and CA do not fit together.
    #[error("the files of [source.tls] do not fit together: {0}; check that key-file belongs to cert-file")]
    Unfit(String),
}

/// An acceptor of these files.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let unfit = |e: &dyn std::fmt::Display| TlsError::Unfit(e.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| unfit(&e))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client-ca-file", path)? {
                roots.add(certificate).map_err(|e| unfit(&e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| unfit(&e))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|e| file("key-file", &files.key_file, &e))?;
    let config = builder.with_single_cert(certificates("cert-file", &files.cert_file)?, key).map_err(|e| unfit(&e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(TlsError::File { key, path: path.to_owned(), detail: "holds no certificate".to_owned() })
        }
        Ok(found) => Ok(found),
        Err(e) => Err(file(key, path, &e)),
    }
}

fn file(key: &'static str, path: &Path, e: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { key, path: path.to_owned(), detail: e.to_string() }
}
