CREATE TABLE event_outbox (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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

-- Wakes the relays with the commit, without a statement of its own.
CREATE FUNCTION event_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('event_outbox', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER event_outbox_notify AFTER INSERT ON event_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION event_outbox_notify();
