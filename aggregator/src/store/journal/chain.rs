//! The chain over the journal: each row's digest takes in the one before it, so that a row that is
//! changed, removed or put in between is noticed by whoever computes the chain again.
//!
//! ```text
//! digest = SHA-256( digest before, 32 zero bytes before the first | number, 8 bytes, big-endian
//!                 | at, 8 bytes, big-endian | alarm, empty for none | one zero byte | entry )
//! ```
//!
//! A chain proves what stands before its last row. That the last rows were cut off, or everything
//! written anew, shows only against a digest that was noted elsewhere.

use ring::digest::{Context, SHA256};
use sqlx::{Row, SqliteConnection};

use crate::store::error::Fault;
use crate::store::unreadable;

/// Rows that are read at once.
const PAGE: i64 = 1000;

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The last entry's number; 0 before the first.
    pub(super) number: i64,
    pub(super) digest: [u8; 32],
}

impl End {
    /// An empty journal's.
    const NONE: End = End { number: 0, digest: [0; 32] };

    /// As the table has it.
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<End, sqlx::Error> {
        let last = sqlx::query("SELECT number, digest FROM journal ORDER BY number DESC LIMIT 1");
        let Some(row) = last.fetch_optional(connection).await? else { return Ok(End::NONE) };
        let digest = row.try_get::<&[u8], _>("digest")?.try_into().map_err(unreadable)?;
        Ok(End { number: row.try_get("number")?, digest })
    }

    /// After one row more.
    pub(super) fn after(self, at: i64, alarm: Option<&str>, entry: &str) -> End {
        let number = self.number + 1;
        let mut hash = Context::new(&SHA256);
        for part in [&self.digest, &number.to_be_bytes()[..], &at.to_be_bytes()] {
            hash.update(part);
        }
        for part in [alarm.unwrap_or_default(), "\0", entry] {
            hash.update(part.as_bytes());
        }
        End { number, digest: hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes") }
    }
}

/// Computes the whole chain again; how many entries it has. Reads only.
pub(super) async fn verify(connection: &mut SqliteConnection) -> Result<u64, Fault> {
    let mut end = End::NONE;
    loop {
        let page = sqlx::query(
            "SELECT number, at, alarm, entry, digest FROM journal WHERE number > ? ORDER BY number LIMIT ?",
        );
        let rows = page.bind(end.number).bind(PAGE).fetch_all(&mut *connection).await?;
        for row in &rows {
            let number: i64 = row.try_get("number")?;
            end = end.after(row.try_get("at")?, row.try_get("alarm")?, row.try_get("entry")?);
            if number != end.number || row.try_get::<&[u8], _>("digest")? != end.digest {
                return Err(Fault::JournalBroken(end.number.unsigned_abs()));
            }
        }
        if rows.is_empty() {
            return Ok(end.number.unsigned_abs());
        }
    }
}
