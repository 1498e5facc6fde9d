-- Signed reports, as received. Their place in the tree is their place in their hospital's order.
CREATE TABLE report (
    hospital    TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    digest      BLOB    NOT NULL,  -- SHA-256 of the envelope
    evidence    INTEGER NOT NULL,  -- 0: the first at its position; 1: came second, proof of equivocation
    observed_at INTEGER NOT NULL,  -- ms since 1970, the agent's clock
    received_at INTEGER NOT NULL,  -- ms since 1970, the centre's clock
    envelope    BLOB    NOT NULL,
    PRIMARY KEY (hospital, epoch, sequence, digest)
) STRICT, WITHOUT ROWID;

-- Signed rosters, as received. The version is taken from the content.
CREATE TABLE roster (
    hospital    TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    envelope    BLOB    NOT NULL,
    PRIMARY KEY (hospital, version)
) STRICT, WITHOUT ROWID;

-- Rollups sampled for the history; what is in the blob: store/history.rs.
CREATE TABLE sample (
    scope   TEXT    NOT NULL,      -- nation, region/<code>, hospital/<hospital>
    time    INTEGER NOT NULL,
    figures BLOB    NOT NULL,
    PRIMARY KEY (scope, time)
) STRICT, WITHOUT ROWID;
