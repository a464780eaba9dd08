//! Two processes of each service on one database, under load: whatever happens to one of them, or to the server
//! between them, every ticket is sold once and every charge is accounted for.

use std::cell::RefCell;
use std::time::Duration;

use common::events::{OrderId, TicketId};
use common::testing::Reply;
use common::{ORDERS_SERVICE, PAYMENTS_SERVICE, QueueGroup, TICKETS_SERVICE};
use futures::future::{join, join_all};
use hyper::Method;
use integration_tests::services::{Program, System, User, until_within};
use serde_json::{Value, json};

use super::{SERVICES, program};

/// How many tickets there are, with two buyers for each.
const TICKETS: usize = 24;
/// A replica that was killed holds the lease of the relay for ten seconds, and that of its messages for longer.
const AT_LAST: Duration = Duration::from_secs(75);

/// Two processes of each service.
struct Replicas<'s> {
    system: &'s System,
    running: RefCell<Vec<(QueueGroup, Program)>>,
}

impl<'s> Replicas<'s> {
    async fn start(system: &'s System) -> Self {
        Self::start_with(system, &[]).await
    }

    async fn start_with(system: &'s System, variables: &[(&'static str, &str)]) -> Self {
        let variables = [&[("GATEWAY_TIMEOUT", "1s")], variables].concat();
        let mut running = Vec::new();
        for service in SERVICES {
            for _ in 0..2 {
                let program = system.run_program(service, program(service), &variables);
                running.push((service, program.await));
            }
        }
        Self {
            system,
            running: RefCell::new(running),
        }
    }

    /// Kills the first of each service. The others do not hear of it.
    fn kill_one_of_each(&self) {
        for service in SERVICES {
            let mut running = self.running.borrow_mut();
            let first = running.iter().position(|(of, _)| *of == service).unwrap();
            running.remove(first).1.kill();
        }
    }

    /// Sends to one replica after the other until one of them answers with something else than "try again".
    async fn ask(
        &self,
        user: &User<'_>,
        method: Method,
        service: QueueGroup,
        path: &str,
        body: &Value,
    ) -> Reply {
        let what = format!("{service} has answered {method} {path}");
        let mut turn = 0;
        until_within(AT_LAST, &what, async || {
            let replicas: Vec<_> = self
                .running
                .borrow()
                .iter()
                .filter(|(of, _)| *of == service)
                .map(|(_, program)| program.addr())
                .collect();
            turn += 1;
            let addr = replicas[turn % replicas.len()];
            match user
                .send_to(addr, method.clone(), path, body.to_string())
                .await
            {
                Ok(later) if later.status == 503 => Err(later.text),
                Ok(reply) => Ok(reply),
                Err(err) => Err(err.to_string()),
            }
        })
        .await
    }

    /// Buys the ticket, or sees it sold to somebody else.
    async fn buy(&self, name: &str, ticket: TicketId, cards: &[&str]) {
        let user = self.system.user(name);
        let mut cards = cards.iter();
        until_within(AT_LAST, &format!("ticket {ticket} is sold"), async || {
            let path = format!("/api/tickets/{ticket}");
            let seen = self
                .ask(&user, Method::GET, TICKETS_SERVICE, &path, &Value::Null)
                .await;
            if seen.json["status"] == "sold" {
                return Ok(());
            }
            if let Some(order) = self.order(&user, ticket).await {
                let token = cards.next().unwrap_or(&"tok_visa");
                let body = json!({ "orderId": order, "token": token });
                let reply = self
                    .ask(
                        &user,
                        Method::POST,
                        PAYMENTS_SERVICE,
                        "/api/payments",
                        &body,
                    )
                    .await;
                assert!(
                    [201, 402, 404, 409].contains(&reply.status.as_u16()),
                    "{}",
                    reply.text
                );
            }
            Err(seen.text)
        })
        .await;
    }

    /// The user's order of the ticket, a new one if there is none. `None`: somebody else has it.
    async fn order(&self, user: &User<'_>, ticket: TicketId) -> Option<OrderId> {
        let wish = json!({ "ticketId": ticket });
        let reply = self
            .ask(user, Method::POST, ORDERS_SERVICE, "/api/orders", &wish)
            .await;
        let order = match reply.status.as_u16() {
            201 => reply.json["id"].clone(),
            404 | 409 => {
                // Perhaps it is the user's own: the replica that took the order may not have lived to say so.
                let own = self
                    .ask(
                        user,
                        Method::GET,
                        ORDERS_SERVICE,
                        "/api/orders",
                        &Value::Null,
                    )
                    .await;
                let mut own = own.json.as_array().unwrap().iter();
                let open = own.find(|order| {
                    order["ticket"]["id"] == json!(ticket) && order["status"] != "cancelled"
                })?;
                open["id"].clone()
            }
            _ => panic!("{}", reply.text),
        };
        Some(order.as_str().unwrap().parse().unwrap())
    }

    /// Sells every ticket, and lets `trouble` begin when a quarter is sold.
    async fn sell_out(&self, trouble: impl AsyncFnOnce()) {
        let alice = self.system.user("alice");
        let tickets = join_all((0..TICKETS).map(|nth| {
            let alice = &alice;
            async move {
                let offer = json!({ "title": format!("Seat {nth}"), "price": 100 + nth });
                let reply = self
                    .ask(alice, Method::POST, TICKETS_SERVICE, "/api/tickets", &offer)
                    .await;
                reply.json["id"].as_str().unwrap().parse().unwrap()
            }
        }))
        .await;

        let buyers = tickets.into_iter().enumerate().flat_map(|(nth, ticket)| {
            let cards: &[&str] =
                [&["tok_chargeDeclined"][..], &["tok_timeout"], &["tok_visa"]][nth % 3];
            ["first", "second"]
                .map(|who| async move { self.buy(&format!("{who}-{nth}"), ticket, cards).await })
        });
        let quarter = until_within(AT_LAST, "a quarter is sold", async || {
            match self.sold().await {
                few if few < TICKETS / 4 => Err(few),
                _ => Ok(()),
            }
        });
        join(join_all(buyers), async {
            quarter.await;
            assert!(self.sold().await < TICKETS, "trouble comes too late");
            trouble().await;
        })
        .await;

        assert_eq!(self.sold().await, TICKETS);
    }

    async fn sold(&self) -> usize {
        let sold = "SELECT id FROM tickets.tickets WHERE status = 'sold'";
        self.system.books().ask(sold).await.len()
    }

    /// Asserts that everything that was begun has come to its end, and lets the processes stop in order.
    async fn stop(self) {
        self.system.settled_within(AT_LAST).await;
        assert_eq!(
            self.system.books().broken_laws().await,
            Vec::<String>::new()
        );
        assert_eq!(
            self.system.broker().dead_letters().await,
            Vec::<String>::new()
        );
        let nobody = self.system.nobody();
        for (service, program) in self.running.into_inner() {
            until_within(AT_LAST, &format!("{service} is ready"), async || {
                let ready = nobody.send_to(program.addr(), Method::GET, "/readyz", "");
                match ready.await.unwrap() {
                    ready if ready.status == 200 => Ok(()),
                    not_yet => Err(not_yet.text),
                }
            })
            .await;
            assert!(
                program.terminate().await.success(),
                "{service} did not stop in order"
            );
        }
    }
}

#[tokio::test]
async fn two_replicas_of_each_service_sell_every_ticket_once() {
    let system = System::builder().start_server().await;
    let replicas = Replicas::start(&system).await;

    replicas.sell_out(async || ()).await;

    replicas.stop().await;
}

// Guard: leases, those of messages and that of the relay, end by themselves.
#[tokio::test]
async fn killed_replica_of_each_service_leaves_no_ticket_unsold_and_none_sold_twice() {
    let system = System::builder().start_server().await;
    let replicas = Replicas::start(&system).await;

    replicas
        .sell_out(async || replicas.kill_one_of_each())
        .await;

    replicas.stop().await;
}

#[tokio::test]
async fn restarted_server_leaves_no_ticket_unsold_and_none_sold_twice() {
    let system = System::builder().start_server().await;
    let replicas = Replicas::start(&system).await;

    replicas
        .sell_out(async || system.restart_nats().await)
        .await;

    replicas.stop().await;
}

#[tokio::test]
async fn three_servers_of_which_one_is_killed_leave_no_ticket_unsold_and_none_sold_twice() {
    let system = System::builder().in_cluster().start_bare_server().await;
    let create = [("PROVISION", "create"), ("REPLICAS", "3")];
    let replicas = Replicas::start_with(&system, &create).await;

    replicas
        .sell_out(async || {
            let server = system.cluster().node("node-1");
            server.kill().await;
            server.restart().await;
        })
        .await;

    replicas.stop().await;
}
