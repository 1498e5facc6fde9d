//! `[alerts]`, `[alertmanager]`, `[[webhook]]`: what is alarming, who may act on it, and who is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use vardpuls_service::credential;
use vardpuls_shared::alert::Severity;
use vardpuls_shared::hospital::HospitalId;

use super::document::{Document, DocumentError, duration};

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

impl AlertsConfig {
    /// With paths relative to `base`.
    pub(super) fn locate(self, base: &Path) -> AlertsConfig {
        AlertsConfig {
            rules_file: self.rules_file.map(|rules| base.join(rules)),
            operators_file: self.operators_file.map(|operators| base.join(operators)),
            ..self
        }
    }
}

impl AlertmanagerConfig {
    pub(super) fn check(self, document: &Document) -> Result<AlertmanagerConfig, DocumentError> {
        if !is_http(&self.url) {
            let problem = format!("{:?}: write http://HOST:9093 or https://…", self.url);
            return Err(document.wrong("alertmanager.url", problem));
        }
        if self.repeat_every.as_secs() == 0 {
            return Err(document.wrong("alertmanager.repeat-every", "must be at least one second"));
        }
        Ok(self)
    }
}

/// Names are told apart, and are what a receiver's place in the journal is kept by.
pub(super) fn check_webhooks(
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
