//! The rules as one set: read from TOML, held against each other, replaced whole.
//!
//! To be written (contract: `Rules::parse(&Document) -> Result<Rules, DocumentError>`, `Rules::built_in()`).

use serde::Serialize;

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Rules {
    /// Each rule.
    pub rules: Vec<serde_json::Value>,
}
