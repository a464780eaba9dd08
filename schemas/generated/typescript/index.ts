// Generated from the schemas by `cargo run -p schemas -- generate`. Do not edit.

import type { TicketCreated, TicketCreatedHeaders } from "./ticket.created.v1.js";
import type { TicketUpdated, TicketUpdatedHeaders } from "./ticket.updated.v1.js";
import type { OrderCreated, OrderCreatedHeaders } from "./order.created.v1.js";
import type { OrderCancelled, OrderCancelledHeaders } from "./order.cancelled.v1.js";
import type { OrderCompleted, OrderCompletedHeaders } from "./order.completed.v1.js";
import type { ExpirationComplete, ExpirationCompleteHeaders } from "./expiration.complete.v1.js";
import type { PaymentCreated, PaymentCreatedHeaders } from "./payment.created.v1.js";
import type { PaymentRefunded, PaymentRefundedHeaders } from "./payment.refunded.v1.js";

export type {
  TicketCreated,
  TicketCreatedHeaders,
  TicketUpdated,
  TicketUpdatedHeaders,
  OrderCreated,
  OrderCreatedHeaders,
  OrderCancelled,
  OrderCancelledHeaders,
  OrderCompleted,
  OrderCompletedHeaders,
  ExpirationComplete,
  ExpirationCompleteHeaders,
  PaymentCreated,
  PaymentCreatedHeaders,
  PaymentRefunded,
  PaymentRefundedHeaders,
};

/** Every channel. The NATS subject of an event is its channel, a dot, and its key. */
export const Subjects = {
  /** A ticket went on sale. */
  TicketCreated: "ticket:created",
  /** A ticket changed: its title, its price, or the order that holds it. */
  TicketUpdated: "ticket:updated",
  /** Somebody wants a ticket. */
  OrderCreated: "order:created",
  /** An order was given up by its buyer, or was not paid in time. */
  OrderCancelled: "order:cancelled",
  /** An order was paid, and its ticket is sold. */
  OrderCompleted: "order:completed",
  /** The time to pay for an order is over. */
  ExpirationComplete: "expiration:complete",
  /** An order's price was charged. */
  PaymentCreated: "payment:created",
  /** The charge of an order that was cancelled was given back. */
  PaymentRefunded: "payment:refunded",
} as const;

/** A channel. */
export type Subject = (typeof Subjects)[keyof typeof Subjects];

/** The stream that stores the events of each channel. */
export const Streams = {
  "ticket:created": "TICKETS",
  "ticket:updated": "TICKETS",
  "order:created": "ORDERS",
  "order:cancelled": "ORDERS",
  "order:completed": "ORDERS",
  "expiration:complete": "EXPIRATIONS",
  "payment:created": "PAYMENTS",
  "payment:refunded": "PAYMENTS",
} as const satisfies Record<Subject, string>;

/** What each channel carries. */
export interface Events {
  "ticket:created": TicketCreated;
  "ticket:updated": TicketUpdated;
  "order:created": OrderCreated;
  "order:cancelled": OrderCancelled;
  "order:completed": OrderCompleted;
  "expiration:complete": ExpirationComplete;
  "payment:created": PaymentCreated;
  "payment:refunded": PaymentRefunded;
}

/** What travels beside the payload on each channel. */
export interface EventHeaders {
  "ticket:created": TicketCreatedHeaders;
  "ticket:updated": TicketUpdatedHeaders;
  "order:created": OrderCreatedHeaders;
  "order:cancelled": OrderCancelledHeaders;
  "order:completed": OrderCompletedHeaders;
  "expiration:complete": ExpirationCompleteHeaders;
  "payment:created": PaymentCreatedHeaders;
  "payment:refunded": PaymentRefundedHeaders;
}
