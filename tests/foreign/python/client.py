"""The same as ../node/client.ts, from Python: client.py <NATS server> <schemas/generated> <ticket> <order> <envelope>"""
import asyncio, datetime, json, pathlib, sys, time, uuid
import nats
from jsonschema import Draft202012Validator as Validator


async def main(server, generated, ticket_id, order_id, envelope):
    def check(form, event):
        schema = json.loads(pathlib.Path(generated, "json", f"{form}.json").read_text())
        Validator(schema, format_checker=Validator.FORMAT_CHECKER).validate(event)
        return event

    async def read(stream, channel, key):
        subscription = await js.pull_subscribe(f"{channel}.{key}", f"python-{channel}-{key}", stream)
        [message] = await subscription.fetch(1, timeout=10)
        await message.ack_sync()
        return check(f"{channel.replace(':', '.')}.v1", json.loads(message.data))

    connection = await nats.connect(server)
    js = connection.jetstream()
    ticket = await read("TICKETS", "ticket:created", ticket_id)
    order = await read("ORDERS", "order:created", order_id)
    now = f"{time.time_ns() // 1_000_000:012x}"
    id = f"{now[:8]}-{now[8:]}-7{str(uuid.uuid4())[15:]}"
    payment = {"id": id, "orderId": order_id, "amount": order["ticket"]["price"], "chargeId": f"ch_{id}"}
    headers = {"ce-specversion": "1.0", "ce-id": id, "ce-type": "payment:created", "ce-source": "/payments-service",
               "ce-subject": order_id, "ce-time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
               "ce-dataschema": "urn:sgtickets:payment.created:1", "ce-datacontenttype": "application/json",
               "Content-Type": "application/json", "Nats-Msg-Id": id}
    body = json.dumps(check("payment.created.v1", payment)).encode()
    await js.publish(f"payment:created.{order_id}", body, headers=None if envelope == "bare" else headers)
    print(json.dumps({"title": ticket["title"], "paid": payment["amount"], "payment": id}))
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
