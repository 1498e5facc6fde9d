-- The journal of alarms: what happened and what people did. It only grows.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,       -- from 1, without gaps
    at     INTEGER NOT NULL,          -- ms since 1970, the centre's clock
    alarm  TEXT,                      -- the alarm that the entry names, where it names one
    entry  TEXT    NOT NULL,          -- JSON: aggregator/src/alert/entry.rs
    digest BLOB    NOT NULL           -- SHA-256 over the digest before it and this row: store/journal/chain.rs
) STRICT;

CREATE INDEX journal_by_alarm ON journal (alarm);

CREATE TRIGGER journal_is_not_changed BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal only grows: entries are not changed');
END;

CREATE TRIGGER journal_is_not_shortened BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal only grows: entries are not removed');
END;

-- Also against INSERT OR REPLACE, which removes a row without a word to the trigger above.
CREATE TRIGGER journal_has_no_gaps BEFORE INSERT ON journal
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM journal)
BEGIN
    SELECT RAISE(ABORT, 'the journal only grows: an entry follows the last one');
END;

-- The alarms that are open after the last entry: what a restart has to read of the journal.
CREATE TABLE open_alarm (
    alarm TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What the rules remember of a point (a rule at a target): timers that run, what was learned.
CREATE TABLE mark (
    point TEXT PRIMARY KEY,           -- <rule>@<target>
    state BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each receiver of alarms has been told.
CREATE TABLE place (
    receiver TEXT    PRIMARY KEY,
    number   INTEGER NOT NULL         -- of the journal's entry
) STRICT, WITHOUT ROWID;
