// Generated from the schemas by `cargo run -p schemas -- generate`. Do not edit.

/**
 * An order's price was charged.
 *
 * Published by `payments-service` after commit, at least once, one per order.
 */
export interface PaymentCreated {
  /**
   * What was charged, in minor currency units: 2500 is 25.00.
   */
  amount: number;
  /**
   * The charge, as the payment gateway names it.
   */
  chargeId: string;
  /**
   * The payment, for its whole life.
   */
  id: string;
  /**
   * The order that was paid.
   */
  orderId: string;
}
/**
 * What publishers write beside the payload of `payment:created`, percent-encoded where the NATS binding of CloudEvents says so. Readers ask for none of it: bare JSON is an event too.
 */
export interface PaymentCreatedHeaders {
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
  "ce-dataschema": "urn:sgtickets:payment.created:1";
  /**
   * The event's id, unique within its source: a UUID v7.
   */
  "ce-id": string;
  /**
   * Who publishes.
   */
  "ce-source": "/payments-service";
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
  "ce-type": "payment:created";
  /**
   * The trace that the event belongs to, as W3C Trace Context says.
   */
  traceparent?: string;
  /**
   * What tracing systems add to the trace.
   */
  tracestate?: string;
}
