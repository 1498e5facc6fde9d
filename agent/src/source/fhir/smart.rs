//! SMART backend services: a token for a signed statement of who we are (`private_key_jwt`), kept until it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::Uri;
use hyper::header::HeaderValue;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA384, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use vardpuls_shared::clock::Time;

use crate::source::http::{Answer, Http, HttpFault, bearer};

/// For how long a statement may be used; five minutes are the most that the standard allows.
const STATEMENT: Duration = Duration::from_mins(4);
/// A token is not used any more so long before its end.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token that does not say so is used.
const UNSAID: u64 = 300;

/// How to get a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartSpec {
    /// Where.
    pub token_url: Uri,
    /// Who we are there.
    pub client_id: String,
    /// Our private key, PKCS#8 PEM.
    pub key_file: PathBuf,
    /// What the server calls that key.
    pub key_id: String,
    /// How we sign.
    pub algorithm: Algorithm,
    /// What we ask to read.
    pub scope: String,
}

/// How a statement is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-384.
    Es384,
    /// RSA.
    Rs384,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmartFault {
    /// No answer, or a refusal.
    #[error("no token from {url}: {fault}")]
    Http {
        /// Where it was asked for.
        url: String,
        /// Why.
        fault: HttpFault,
    },
    /// The key cannot sign.
    #[error("{}: {reason}; key-file must be a PKCS#8 PEM key that fits algorithm", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What came is no token.
    #[error("{0} answers without a token; check token-url")]
    NoToken(String),
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

/// A token, and until when it may be used. It is never shown.
pub(super) struct Token {
    header: HeaderValue,
    until: Time,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("until", &self.until).finish_non_exhaustive()
    }
}

/// The header of a token that is good at `now`; a new token if the kept one is not.
pub(super) async fn authorize(
    spec: &SmartSpec,
    http: &mut Http,
    kept: &mut Option<Token>,
    now: Time,
) -> Result<HeaderValue, SmartFault> {
    if let Some(token) = kept.as_ref().filter(|token| now < token.until) {
        return Ok(token.header.clone());
    }
    *kept = None;
    let url = spec.token_url.to_string();
    let form = form(spec, &statement(spec, now)?);
    let failed = |fault| SmartFault::Http { url: url.clone(), fault };
    let Answer::Body(body, _) = http.post_form(&spec.token_url, form).await.map_err(failed)? else {
        return Err(SmartFault::NoToken(url));
    };
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| SmartFault::NoToken(url.clone()))?;
    let header = bearer(Path::new("access_token"), &answer.access_token).map_err(failed)?;
    let lasts = Duration::from_secs(answer.expires_in.unwrap_or(UNSAID));
    *kept = Some(Token { header: header.clone(), until: now.plus(lasts.saturating_sub(MARGIN)) });
    Ok(header)
}

fn form(spec: &SmartSpec, statement: &str) -> String {
    let scope: String = spec.scope.bytes().map(escaped).collect();
    format!(
        "grant_type=client_credentials&scope={scope}&client_assertion_type=\
         urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={statement}"
    )
}

/// A byte as a form has it.
fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// A signed statement of who we are.
fn statement(spec: &SmartSpec, now: Time) -> Result<String, SmartFault> {
    let random = SystemRandom::new();
    let mut id = [0; 16];
    let wrong = |reason: &str| SmartFault::Key { file: spec.key_file.clone(), reason: reason.to_owned() };
    random.fill(&mut id).map_err(|_| wrong("the system gives no random numbers"))?;
    let alg = match spec.algorithm {
        Algorithm::Es384 => "ES384",
        Algorithm::Rs384 => "RS384",
    };
    let header = serde_json::json!({ "alg": alg, "kid": spec.key_id, "typ": "JWT" });
    let claims = serde_json::json!({
        "iss": spec.client_id,
        "sub": spec.client_id,
        "aud": spec.token_url.to_string(),
        "exp": now.plus(STATEMENT).0 / 1000,
        "jti": BASE64_URL_SAFE_NO_PAD.encode(id),
    });
    let encode = |part: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let pem = fs::read(&spec.key_file).map_err(|e| wrong(&format!("cannot be read ({e})")))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| wrong(&format!("holds no PKCS#8 PEM key ({e})")))?;
    let key = key.secret_pkcs8_der();
    let signature = match spec.algorithm {
        Algorithm::Es384 => EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key, &random)
            .map_err(|e| wrong(&format!("is no P-384 key ({e})")))?
            .sign(&random, signed.as_bytes())
            .map_err(|_| wrong("cannot sign"))?
            .as_ref()
            .to_vec(),
        Algorithm::Rs384 => {
            let pair = RsaKeyPair::from_pkcs8(key).map_err(|e| wrong(&format!("is no RSA key ({e})")))?;
            let mut signature = vec![0; pair.public().modulus_len()];
            let made = pair.sign(&RSA_PKCS1_SHA384, &random, signed.as_bytes(), &mut signature);
            made.map_err(|_| wrong("cannot sign"))?;
            signature
        }
    };
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}
