// Generated from the schemas by `cargo run -p schemas -- generate`. Do not edit.

/**
 * A ticket changed: its title, its price, or the order that holds it.
 *
 * Published by `tickets-service` after commit, at least once. Order by `version`.
 */
export interface TicketUpdated {
  /**
   * The ticket, for its whole life.
   */
  id: string;
  /**
   * The order that has reserved or bought the ticket. Absent: the ticket is for sale.
   */
  orderId?: string;
  /**
   * Face value in minor currency units: 2500 is 25.00.
   */
  price: number;
  /**
   * What the seller calls it.
   */
  title: string;
  /**
   * The seller.
   */
  userId: string;
  /**
   * Revision of the ticket: starts at 1, grows by one per change.
   */
  version: number;
}
/**
 * What publishers write beside the payload of `ticket:updated`, percent-encoded where the NATS binding of CloudEvents says so. Readers ask for none of it: bare JSON is an event too.
 */
export interface TicketUpdatedHeaders {
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
  "ce-dataschema": "urn:sgtickets:ticket.updated:1";
  /**
   * The event's id, unique within its source: a UUID v7.
   */
  "ce-id": string;
  /**
   * Who publishes.
   */
  "ce-source": "/tickets-service";
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
  "ce-type": "ticket:updated";
  /**
   * The trace that the event belongs to, as W3C Trace Context says.
   */
  traceparent?: string;
  /**
   * What tracing systems add to the trace.
   */
  tracestate?: string;
}
