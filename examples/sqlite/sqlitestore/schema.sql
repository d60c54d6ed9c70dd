-- One row per key. The names carry a prefix, because the application's own tables
-- live in the same file; PRAGMA user_version is the application's for that reason,
-- and so each row says its format.
CREATE TABLE IF NOT EXISTS reprise_records (
	key         BLOB    NOT NULL PRIMARY KEY, -- bytes: TEXT would stop at a NUL, and fold under a collation
	format      INTEGER NOT NULL,             -- 1; a program that doesn't know it must not touch the row
	state       TEXT    NOT NULL,             -- released, claimed, abandoned (by Abandon) or completed
	token       BLOB    NOT NULL,
	attempt     INTEGER NOT NULL,
	fence       INTEGER NOT NULL,
	keep        INTEGER NOT NULL,             -- milliseconds, as claimed: a renewal moves forget_at by it
	lease_end   INTEGER NOT NULL,             -- the last millisecond of the lease, since 1970; 0 unless claimed
	forget_at   INTEGER NOT NULL,             -- the last millisecond in which the row counts
	fingerprint BLOB,
	metadata    BLOB,
	outcome     BLOB
) STRICT;

-- For the sweep, which must not read the whole table to find nothing.
CREATE INDEX IF NOT EXISTS reprise_records_forget_at ON reprise_records (forget_at);

-- A short log of the keys whose claims ended, written by the transaction that
-- ended them. AUTOINCREMENT never gives an id twice, so that a reader that knows
-- the last id it has seen knows whether it has missed one.
CREATE TABLE IF NOT EXISTS reprise_wakeups (
	id  INTEGER PRIMARY KEY AUTOINCREMENT,
	key BLOB NOT NULL
) STRICT;
