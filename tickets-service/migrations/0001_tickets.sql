CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    -- Grows by one with each change that is published.
    version BIGINT NOT NULL CHECK (version >= 1),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    -- Minor units.
    price BIGINT NOT NULL CHECK (price >= 1),
    user_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('for sale', 'reserved', 'sold')),
    -- The order that has reserved or bought the ticket.
    order_id TEXT,
    CHECK ((status = 'for sale') = (order_id IS NULL))
);

CREATE INDEX tickets_for_sale ON tickets (id) WHERE status = 'for sale';

-- Every order that was created and not cancelled. Orders of one ticket arrive in any order to each other.
CREATE TABLE reservations (
    order_id TEXT NOT NULL PRIMARY KEY,
    ticket_id TEXT NOT NULL REFERENCES tickets (id)
);

CREATE INDEX reservations_by_ticket ON reservations (ticket_id, order_id);
