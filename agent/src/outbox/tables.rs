//! The outbox's four tables and the bookkeeping on them. What they hold is told in `outbox.rs`.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition};

pub(super) const LEDGER: TableDefinition<'_, &str, u64> = TableDefinition::new("ledger");
pub(super) const HELD: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("held");
pub(super) const REFUSED: TableDefinition<'_, u64, (u8, u64)> = TableDefinition::new("refused");
pub(super) const DROPPED: TableDefinition<'_, u64, u64> = TableDefinition::new("dropped");

/// The format that this version writes and reads.
pub(super) const FORMAT: u64 = 1;

/// How many refused reports are remembered by name; older ones are only counted.
pub const MAX_REFUSED: u64 = 1000;

/// How many ranges of dropped reports are remembered; older ones are only counted.
pub const MAX_GAPS: u64 = 1000;

/// An entry of the ledger; all of them are there from the beginning.
pub(super) fn entry(ledger: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, redb::Error> {
    match ledger.get(name)? {
        Some(value) => Ok(value.value()),
        None => Err(redb::Error::Corrupted(format!("the ledger has no entry {name:?}"))),
    }
}

pub(super) fn add(ledger: &mut Table<'_, &'static str, u64>, name: &str, n: u64) -> Result<(), redb::Error> {
    let value = entry(ledger, name)?.saturating_add(n);
    ledger.insert(name, value)?;
    Ok(())
}

pub(super) fn take(ledger: &mut Table<'_, &'static str, u64>, name: &str, n: u64) -> Result<(), redb::Error> {
    let value = entry(ledger, name)?.saturating_sub(n);
    ledger.insert(name, value)?;
    Ok(())
}

/// Notes a dropped sequence. They rise, so that only the last range can grow.
pub(super) fn note_gap(gaps: &mut Table<'_, u64, u64>, sequence: u64) -> Result<(), redb::Error> {
    let last = gaps.last()?.map(|(first, last)| (first.value(), last.value()));
    match last {
        Some((first, last)) if last + 1 == sequence => gaps.insert(first, sequence)?,
        _ => gaps.insert(sequence, sequence)?,
    };
    bound(gaps, MAX_GAPS)
}

/// Forgets the oldest entries beyond `most`.
pub(super) fn bound<V: redb::Value + 'static>(table: &mut Table<'_, u64, V>, most: u64) -> Result<(), redb::Error> {
    while table.len()? > most {
        table.pop_first()?;
    }
    Ok(())
}
