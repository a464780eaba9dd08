// A service in another language, in the place of payments-service: reads a ticket and an order as the Rust
// services publish them, checks them against the generated schemas, and pays the order.
//
// node client.js <NATS server> <schemas/generated> <ticket> <order> <cloud-event | bare>
//
// ./events is schemas/generated/typescript.
import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type MsgHdrs } from "@nats-io/transport-node";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { Streams, Subjects } from "./events/index.js";
import type { EventHeaders, Events, PaymentCreated, Subject } from "./events/index.js";

const [server = "", generated = "", ticketId = "", orderId = "", envelope = ""] = process.argv.slice(2);
const ajv = new Ajv2020({ allErrors: true });
formats.default(ajv);
const messages = json("asyncapi.json").components.messages;

function json(file: string) {
  return JSON.parse(readFileSync(`${generated}/${file}`, "utf8"));
}

/** Throws if the value is not as the schema says. */
function check(what: string, schema: object, value: unknown) {
  if (!ajv.validate(schema, value)) {
    throw new Error(`this is no ${what}: ${ajv.errorsText()}: ${JSON.stringify(value)}`);
  }
}

/** The form of an event that is published today. */
function form(channel: Subject) {
  return `${channel.replace(":", ".")}.v1`;
}

const connection = await connect({ servers: server });
const js = jetstream(connection);

/** Reads the event of a channel about a key, through a durable consumer of this service's own. */
async function read<S extends Subject>(channel: S, key: string): Promise<Events[S]> {
  const [stream, durable] = [Streams[channel], `node-${channel}-${key}`];
  const manager = await jetstreamManager(connection);
  await manager.consumers.add(stream, {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    filter_subject: `${channel}.${key}`,
  });
  const consumer = await js.consumers.get(stream, durable);
  const message = await consumer.next({ expires: 10_000 });
  if (!message) throw new Error(`there is no ${channel} about ${key}`);
  const event = message.json<Events[S]>();
  check(channel, json(`json/${form(channel)}.json`), event);
  check(`envelope of ${channel}`, messages[form(channel)].headers, plain(message.headers));
  if (!(await message.ackAck())) throw new Error("the acknowledgement was not confirmed");
  return event;
}

/** Headers as an object. Values are percent-encoded, as the NATS binding of CloudEvents says. */
function plain(headers: MsgHdrs | undefined) {
  const names = headers?.keys() ?? [];
  return Object.fromEntries(names.map((name) => [name, decodeURIComponent(headers?.get(name) ?? "")]));
}

function uuidV7() {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

const ticket = await read(Subjects.TicketCreated, ticketId);
const order = await read(Subjects.OrderCreated, orderId);

const id = uuidV7();
const payment: PaymentCreated = { id, orderId: order.id, amount: order.ticket.price, chargeId: `ch_${id}` };
const envelopeOf: EventHeaders["payment:created"] = {
  "ce-specversion": "1.0",
  "ce-id": id,
  "ce-type": Subjects.PaymentCreated,
  "ce-source": "/payments-service",
  "ce-subject": order.id,
  "ce-time": new Date().toISOString(),
  "ce-dataschema": "urn:sgtickets:payment.created:1",
  "ce-datacontenttype": "application/json",
  "Content-Type": "application/json",
  "Nats-Msg-Id": id,
};
check(Subjects.PaymentCreated, json(`json/${form(Subjects.PaymentCreated)}.json`), payment);
check("envelope", messages[form(Subjects.PaymentCreated)].headers, envelopeOf);

const subject = `${Subjects.PaymentCreated}.${order.id}`;
if (envelope === "bare") {
  await js.publish(subject, JSON.stringify(payment));
} else {
  const written = headers();
  for (const [name, value] of Object.entries(envelopeOf)) written.set(name, value);
  await js.publish(subject, JSON.stringify(payment), { headers: written });
}
console.log(JSON.stringify({ title: ticket.title, paid: payment.amount, payment: payment.id }));
await connection.close();
