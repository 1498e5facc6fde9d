//! A bearer token: `vp_` and 32 random bytes in base64url. Shown once, kept only as its digest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest as hash};
use ring::rand::{SecureRandom as _, SystemRandom};

/// A token that was just made. It has no `Debug`: it is for its holder's eyes.
pub struct Token(String);

impl Token {
    /// A new one.
    pub fn make() -> Token {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes once it has started");
        Token(format!("vp_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What its holder sends.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> [u8; 32] {
        digest(self.0.as_bytes())
    }
}

/// SHA-256 of a token's text.
pub(crate) fn digest(token: &[u8]) -> [u8; 32] {
    hash(&SHA256, token).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_what_any_tool_hashes() {
        let (one, other) = (Token::make(), Token::make());
        assert_ne!(one.text(), other.text());
        assert_eq!(one.text().len(), "vp_".len() + 43);
        // printf abc | sha256sum
        assert_eq!(digest(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
