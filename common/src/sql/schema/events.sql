-- Moments are nanoseconds since 1970-01-01T00:00:00Z.

CREATE INDEX event_outbox_unsent ON event_outbox (parked, position);

-- Who may do what only one replica does at a time. An epoch is never used twice.
CREATE TABLE event_lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    epoch BIGINT NOT NULL
);

-- What was applied. An event's id is unique per source only.
CREATE TABLE event_inbox (
    queue_group TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (queue_group, source, event_id)
);

CREATE INDEX event_inbox_age ON event_inbox (queue_group, applied_at);

-- The last version applied of each aggregate, and the highest that was ever held. Never cleaned.
CREATE TABLE event_guard (
    queue_group TEXT NOT NULL,
    stream TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    highest_held BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue_group, stream, key)
);

-- What came before its predecessor.
CREATE TABLE event_held (
    queue_group TEXT NOT NULL,
    stream TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    channel TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    held_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_try BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue_group, stream, key, version)
);

-- How often a message was tried. A re-created stream counts from 1 again, so the time tells its messages apart.
CREATE TABLE event_attempts (
    queue_group TEXT NOT NULL,
    stream TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    tried_at BIGINT NOT NULL,
    PRIMARY KEY (queue_group, stream, sequence, stored_at)
);
