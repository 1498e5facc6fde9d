//! The operators file: who has a token, as a person writes it.
//!
//! ```toml
//! [[operator]]
//! name = "Anna Ek"
//! role = "operator"                 # viewer, operator or administrator
//! token-sha256 = "…"                # 64 hex digits
//! until = "2027-01-01T00:00:00Z"    # optional: in force until then
//! ```
//!
//! Whoever may write the file may act as anybody: a file that all users may write is refused.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vardpuls_shared::clock::Time;

use super::{Operator, Operators, Role, check_name};
use crate::config::document::{Document, DocumentError};

/// Why the operators file is not in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorsError {
    /// It cannot be read, or is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Anybody on the machine could make themselves an operator.
    #[error("{}: every user may write it (mode {mode:o}); run chmod o-w on it", file.display())]
    Writable {
        /// Which file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorsFile {
    #[serde(default)]
    operator: Vec<OperatorTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OperatorTable {
    name: String,
    role: Role,
    token_sha256: String,
    until: Option<Time>,
}

/// Reads an operators file.
pub fn read(file: &Path) -> Result<Operators, OperatorsError> {
    Ok(parse(&Document::of(file, text(file)?))?)
}

/// The file's text; refuses a file that every user may write.
pub(crate) fn text(file: &Path) -> Result<String, OperatorsError> {
    let unreadable = |e: io::Error| DocumentError::Unreadable { file: file.to_owned(), reason: e.to_string() };
    let mut open = File::open(file).map_err(unreadable)?;
    // The mode of the file that is read, not of whatever has the name by then.
    let mode = open.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(OperatorsError::Writable { file: file.to_owned(), mode });
    }
    let mut text = String::new();
    open.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

pub(super) fn parse(document: &Document) -> Result<Operators, DocumentError> {
    let OperatorsFile { operator } = document.parse()?;
    let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
    let check = |OperatorTable { name, role, token_sha256, until }| {
        check_name(&name).map_err(|e| document.wrong("operator.name", e.to_string()))?;
        if !names.insert(name.clone()) {
            let problem = format!("{name:?} stands twice: the journal could not tell them apart");
            return Err(document.wrong("operator.name", problem));
        }
        let digest = digest(&token_sha256).ok_or_else(|| {
            let problem = format!("of {name:?} is not 64 hex digits; make a token with: vardpuls-aggregator token");
            document.wrong("operator.token-sha256", problem)
        })?;
        if !digests.insert(digest) {
            let problem = format!("of {name:?} is somebody else's too: each needs a token of their own");
            return Err(document.wrong("operator.token-sha256", problem));
        }
        Ok(Operator { name, role, until, digest })
    };
    operator.into_iter().map(check).collect()
}

/// The digest that 64 hex digits write.
pub(crate) fn digest(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The block that puts somebody with this token into the file.
pub fn block(name: &str, role: Role, digest: [u8; 32]) -> String {
    let name = toml::Value::String(name.to_owned());
    format!("[[operator]]\nname = {name}\nrole = \"{role}\"\ntoken-sha256 = \"{}\"\n", hex(digest))
}

/// A digest as 64 hex digits.
pub(crate) fn hex(digest: [u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::operators::Token;

    #[test]
    fn the_shipped_file_is_right_and_lets_nobody_in() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/operators.toml");
        assert_eq!(read(&file).expect("the shipped file"), Operators::default());
    }

    #[test]
    fn what_token_prints_is_what_the_file_takes() {
        let token = Token::make();
        let text = block("Åsa \"TiB\" Ek", Role::Administrator, token.digest());
        let operators = parse(&Document::of(Path::new("o.toml"), text)).expect("right");
        let holder = operators.holder(token.text(), Time(0)).expect("in force");
        assert_eq!((holder.name.as_str(), holder.role), ("Åsa \"TiB\" Ek", Role::Administrator));
    }

    #[test]
    fn every_error_names_line_and_key() {
        let (anna, bo) = (block("Anna", Role::Viewer, [1; 32]), block("Bo", Role::Operator, [2; 32]));
        for (text, expected) in [
            (anna.replace("viewer", "root"), "o.toml, line 3, operator.role: unknown variant `root`"),
            (anna.replace("Anna", ""), "line 2, operator.name: \"\" cannot name an operator"),
            (anna.replace("01", "0"), "line 4, operator.token-sha256: of \"Anna\" is not 64 hex digits"),
            (anna.replace("01", "zz"), "line 4, operator.token-sha256: of \"Anna\" is not"),
            (format!("{anna}until = \"soon\"\n"), "line 5, operator.until: "),
            (format!("{anna}token = \"vp_x\"\n"), "line 5, operator.token: unknown field `token`"),
            (format!("{anna}{anna}"), "operator.name: \"Anna\" stands twice"),
            (format!("{anna}{}", bo.replace("02", "01")), "operator.token-sha256: of \"Bo\" is somebody else's too"),
            ("[operators]\n".to_owned(), "line 1, operators: unknown field `operators`"),
        ] {
            let error = parse(&Document::of(Path::new("o.toml"), text)).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected:?} in {error}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("operators.toml");
        assert!(matches!(read(&file), Err(OperatorsError::Document(DocumentError::Unreadable { .. }))));
        std::fs::write(&file, block("Anna", Role::Viewer, [1; 32])).expect("writes");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o646)).expect("changes the mode");
        assert_eq!(read(&file), Err(OperatorsError::Writable { file: file.clone(), mode: 0o646 }));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("changes the mode");
        assert_eq!(read(&file).expect("right").iter().count(), 1);
    }
}
