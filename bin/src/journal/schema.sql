-- Times are microseconds since 1970, identities JSON.

CREATE TABLE requests (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    target       TEXT,
    reason       TEXT,
    requested_by TEXT,
    outcome      TEXT NOT NULL CHECK (outcome IN ('open', 'verified', 'failed', 'lost', 'blocked',
                                                  'unknown-target', 'malformed')),
    detail       TEXT,
    until_us     INTEGER,
    attempts     INTEGER NOT NULL,
    requested_us INTEGER,
    finished_us  INTEGER,
    intent_us    INTEGER,
    started_us   INTEGER,
    before       TEXT,
    after        TEXT,
    CHECK ((outcome = 'open') = (finished_us IS NULL)),
    CHECK (started_us IS NULL OR intent_us IS NOT NULL)
) STRICT;

-- At most one request is at work on a target.
CREATE UNIQUE INDEX requests_at_work ON requests (target)
    WHERE outcome = 'open' AND intent_us IS NOT NULL;

CREATE TRIGGER requests_final BEFORE UPDATE ON requests WHEN old.outcome <> 'open'
BEGIN
    SELECT raise(ABORT, 'a final outcome never changes');
END;

-- Cooldown and spacing are counted from anchor_us: the time of the last verified restart, unless
-- the clock was set back since; see the policy.
CREATE TABLE targets (
    target          TEXT PRIMARY KEY,
    last_restart_us INTEGER,
    anchor_us       INTEGER,
    lost_us         INTEGER
) STRICT, WITHOUT ROWID;

-- The requests as they came, kept for replay.
CREATE TABLE records (
    id          TEXT PRIMARY KEY,
    payload     BLOB NOT NULL,
    received_us INTEGER NOT NULL
) STRICT;
