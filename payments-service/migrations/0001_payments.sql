-- Orders, as orders-service tells of them. Moments are microseconds since 1970.
CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    price BIGINT NOT NULL CHECK (price > 0),
    expires_at BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'complete', 'cancelled'))
);

-- Titles of tickets, for what the buyer reads on the statement.
CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL
);

-- One payment for each order that somebody tried to pay.
--
-- attempt: part of the gateway's idempotency key; rises only after a definite decline.
-- claim: rises with each request that is let through to the gateway.
-- deadline: from when on the gateway does not carry out the request any more.
-- due_at: when the worker looks at the row next; looks: how often it has.
CREATE TABLE payments (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
    amount BIGINT NOT NULL CHECK (amount > 0),
    status TEXT NOT NULL CHECK (status IN ('charging', 'declined', 'lapsed', 'charged', 'refund_due', 'refunded')),
    attempt BIGINT NOT NULL CHECK (attempt > 0),
    claim BIGINT NOT NULL CHECK (claim >= attempt),
    deadline BIGINT NOT NULL,
    due_at BIGINT,
    looks BIGINT NOT NULL CHECK (looks >= 0),
    charge_id TEXT UNIQUE,
    refund_id TEXT UNIQUE,
    CHECK ((charge_id IS NOT NULL) = (status IN ('charged', 'refund_due', 'refunded'))),
    CHECK ((refund_id IS NOT NULL) = (status = 'refunded')),
    CHECK ((due_at IS NOT NULL) = (status IN ('charging', 'refund_due')))
);

CREATE INDEX payments_by_due_at ON payments (due_at);
