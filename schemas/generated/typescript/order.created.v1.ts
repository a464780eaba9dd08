// Generated from the schemas by `cargo run -p schemas -- generate`. Do not edit.

/**
 * Somebody wants a ticket.
 *
 * Published by `orders-service` after commit, at least once. Order by `version`.
 */
export interface OrderCreated {
  /**
   * When an unpaid order is cancelled, RFC 3339 in UTC.
   */
  expiresAt: string;
  /**
   * The order, for its whole life.
   */
  id: string;
  /**
   * Where the order stands.
   */
  status: "created" | "awaiting:payment" | "complete" | "cancelled";
  ticket: PricedTicket;
  /**
   * The buyer.
   */
  userId: string;
  /**
   * Revision of the order: starts at 1, grows by one per published change.
   */
  version: number;
}
/**
 * What is ordered, at the price of that moment.
 */
export interface PricedTicket {
  /**
   * The ticket.
   */
  id: string;
  /**
   * What the buyer pays, in minor currency units: 2500 is 25.00.
   */
  price: number;
}
/**
 * What publishers write beside the payload of `order:created`, percent-encoded where the NATS binding of CloudEvents says so. Readers ask for none of it: bare JSON is an event too.
 */
export interface OrderCreatedHeaders {
  /**
   * The same, where readers look that know nothing of CloudEvents.
   */
  "Content-Type": "application/json";
  /**
   * The event's id: the server stores no two messages with one, within the stream's duplicate window.
   */
  "Nats-Msg-Id": string;
  /**
   * The id of the event whose handling published this one. Absent: it was no event.
   */
  "ce-causationid"?: string;
  /**
   * What all events share that come of one beginning: the first one's id. Absent: this is a beginning.
   */
  "ce-correlationid"?: string;
  /**
   * How the payload is written.
   */
  "ce-datacontenttype": "application/json";
  /**
   * The form of the payload.
   */
  "ce-dataschema": "urn:sgtickets:order.created:1";
  /**
   * The event's id, unique within its source: a UUID v7.
   */
  "ce-id": string;
  /**
   * Who publishes.
   */
  "ce-source": "/orders-service";
  /**
   * The version of CloudEvents.
   */
  "ce-specversion": "1.0";
  /**
   * What the event is about: the key, as in the NATS subject.
   */
  "ce-subject": string;
  /**
   * When it happened, RFC 3339 in UTC.
   */
  "ce-time": string;
  /**
   * The channel.
   */
  "ce-type": "order:created";
  /**
   * The trace that the event belongs to, as W3C Trace Context says.
   */
  traceparent?: string;
  /**
   * What tracing systems add to the trace.
   */
  tracestate?: string;
}
