CREATE TABLE event_outbox (
    -- AUTOINCREMENT: a position is never used twice, so that a relay that slept can remove what it sent and nothing else.
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    stream TEXT NOT NULL,
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT,
    event_id TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload TEXT NOT NULL,
    due BIGINT,
    parked BIGINT NOT NULL DEFAULT 0,
    UNIQUE (stream, key, version)
);
