-- What tickets-service has published of its tickets.
CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL CHECK (version >= 1),
    title TEXT NOT NULL,
    -- Minor units.
    price BIGINT NOT NULL CHECK (price >= 1),
    -- The order that has reserved or bought the ticket.
    order_id TEXT
);

CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    -- Grows by one with each change that is published.
    version BIGINT NOT NULL CHECK (version >= 1),
    status TEXT NOT NULL CHECK (status IN ('created', 'awaiting:payment', 'complete', 'cancelled')),
    user_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL REFERENCES tickets (id),
    -- Minor units, as it was when the order was placed.
    price BIGINT NOT NULL CHECK (price >= 1),
    -- Milliseconds since 1970.
    expires_at BIGINT NOT NULL,
    -- What paid for a complete order.
    payment_id TEXT,
    -- What gave back the money for a cancelled one.
    refund_id TEXT,
    CHECK ((status = 'complete') = (payment_id IS NOT NULL)),
    CHECK (refund_id IS NULL OR status = 'cancelled')
);

-- Nobody else orders a ticket until its order is cancelled.
CREATE UNIQUE INDEX one_order_per_ticket ON orders (ticket_id) WHERE status <> 'cancelled';

CREATE INDEX orders_by_user ON orders (user_id, id);

CREATE INDEX orders_by_expiry ON orders (expires_at) WHERE status IN ('created', 'awaiting:payment');
