// What the types must refuse: where a line compiles after all, `tsc` says that its `@ts-expect-error` is unused.
import { Subjects } from "./events/index.js";
import type { EventHeaders, Events, PaymentCreated, Subject, TicketUpdated } from "./events/index.js";

// @ts-expect-error: there is no such channel.
export const misspelled: Subject = "ticket:create";

// @ts-expect-error: there is no such event.
export const nothing = Subjects.TicketCreate;

// @ts-expect-error: a field is missing.
export const partial: PaymentCreated = { id: "", orderId: "", amount: 1 };

// @ts-expect-error: a field is misspelled.
export const unknown: Events["payment:created"] = { id: "", orderID: "", amount: 1, chargeId: "" };

// @ts-expect-error: money is a number of cents.
export const text: PaymentCreated = { id: "", orderId: "", amount: "1", chargeId: "" };

// @ts-expect-error: what is absent is left out, and never null.
export const order: TicketUpdated["orderId"] = null;

// @ts-expect-error: an envelope names its own channel.
export const type: EventHeaders["payment:created"]["ce-type"] = "order:created";
