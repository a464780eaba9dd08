//! Buyers and sellers against services that answer what a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use common::http::JwtKey;

use super::super::api::Addresses;
use super::*;

/// No status of HTTP: the connection ends without an answer.
const SILENCE: u16 = 0;

/// Three services in one, which answers one request after the other as it is told, and notes what was asked.
fn answering(answers: Vec<(u16, String)>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let answer = |(status, body): (u16, String)| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream);
            let (mut asked, mut length) = (String::new(), 0);
            lines.read_line(&mut asked).unwrap();
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let Some((name, value)) = line.split_once(':') else {
                    break;
                };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap();
                }
            }
            lines.take(length).read_to_end(&mut Vec::new()).unwrap();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            if status != SILENCE {
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
            asked.split(" HTTP/").next().unwrap().to_owned()
        };
        answers.into_iter().map(answer).collect()
    });
    (addr, asked)
}

fn api(addr: SocketAddr) -> Api {
    let replicas = vec![addr];
    let addresses = Addresses {
        tickets: replicas.clone(),
        orders: replicas.clone(),
        payments: replicas,
    };
    Api::new(
        addresses,
        JwtKey::new(&"k".repeat(32)).unwrap(),
        Duration::from_secs(10),
    )
}

fn order(status: &str) -> String {
    let expires_at = Timestamp::now() + Duration::from_millis(200);
    format!(r#"{{"id":"o","status":"{status}","expiresAt":"{expires_at}"}}"#)
}

fn blues() -> PlannedTicket {
    PlannedTicket {
        title: "Blues".to_owned(),
        price: 500,
        seller: Person::Seller(1),
        new_price: None,
        story: Story::StaysUnsold,
    }
}

fn own_order(ticket: &str, status: &str) -> String {
    let expires_at = Timestamp::now();
    format!(
        r#"{{"id":"o-{ticket}","status":"{status}","expiresAt":"{expires_at}","ticket":{{"id":"{ticket}"}}}}"#
    )
}

#[tokio::test]
async fn unanswered_request_is_an_error_in_calm_weather() {
    let (addr, asked) = answering(vec![(SILENCE, String::new())]);
    let api = api(addr);
    let sale = Sale::new(&api, Duration::from_secs(10), Weather::Calm);

    sale.list_one(&blues()).await.unwrap_err();

    assert_eq!(asked.join().unwrap(), ["POST /api/tickets"]);
}

#[tokio::test]
async fn seller_who_hears_nothing_looks_for_the_ticket_before_listing_it_again() {
    let (addr, asked) = answering(vec![
        (SILENCE, String::new()),
        (200, r#"[{"id":"other","title":"Chess"}]"#.to_owned()),
        (SILENCE, String::new()),
        (200, r#"[{"id":"t","title":"Blues"}]"#.to_owned()),
    ]);
    let api = api(addr);
    let sale = Sale::new(&api, Duration::from_secs(10), Weather::Rough);

    assert_eq!(sale.list_one(&blues()).await.unwrap(), "t");

    let account = sale.into_account();
    assert_eq!(account.lost_answers, 2);
    assert_eq!(account.unsure.listings["Blues"], 2);
    let asked: Vec<_> = asked.join().unwrap();
    assert!(asked[1].starts_with("GET /api/tickets?limit=100&after="));
    assert_eq!(asked[2], "POST /api/tickets");
}

#[tokio::test]
async fn buyer_who_hears_nothing_finds_the_order_that_was_taken() {
    let orders = [
        own_order("other", "created"),
        own_order("t", "cancelled"),
        own_order("t", "created"),
    ];
    let (addr, asked) = answering(vec![
        (SILENCE, String::new()),
        (409, String::new()),
        (200, format!("[{}]", orders.join(","))),
    ]);
    let api = api(addr);
    let sale = Sale::new(&api, Duration::from_secs(10), Weather::Rough);
    let planned = blues();
    let offer = Offer {
        id: "t".to_owned(),
        planned: &planned,
    };

    let order = sale.order(Person::Buyer(1), &offer).await.unwrap();

    assert_eq!(order.unwrap().id, "o-t");
    let account = sale.into_account();
    assert!(account.ordered.0.contains("o-t"));
    let wish = ("buyer-1".to_owned(), "t".to_owned());
    assert_eq!(account.unsure.orders[&wish], 1);
    assert!(asked.join().unwrap()[2].starts_with("GET /api/orders?limit=100&after="));
}

#[tokio::test]
async fn seller_who_is_asked_for_patience_tries_again() {
    let (addr, asked) = answering(vec![
        (201, order("created")),
        (200, order("awaiting:payment")),
        (503, String::new()),
        (409, String::new()),
        (200, order("cancelled")),
    ]);
    let api = api(addr);
    let sale = Sale::new(&api, Duration::from_secs(10), Weather::Calm);
    let planned = blues();
    let offer = Offer {
        id: "t".to_owned(),
        planned: &planned,
    };

    sale.let_expire(Person::Buyer(1), &offer).await.unwrap();

    let account = sale.into_account();
    assert_eq!(account.kept_from_repricing, 1);
    assert_eq!(account.unavailable, 1);
    assert_eq!(
        asked.join().unwrap(),
        [
            "POST /api/orders",
            "GET /api/orders/o",
            "PUT /api/tickets/t",
            "PUT /api/tickets/t",
            "GET /api/orders/o"
        ]
    );
}

#[test]
fn order_that_is_paid_and_cancelled_ends_as_its_cancellation_was_answered() {
    #[track_caller]
    fn check(payment: Payment, cancellation: Cancellation, status: OrderStatus, expected: bool) {
        assert_eq!(
            is_right_end(payment, cancellation, status),
            expected,
            "{payment:?}, {cancellation:?}, {status:?}"
        );
    }
    use Cancellation::{InTime, TooLate};
    use OrderStatus::{Cancelled, Complete};

    // The gateway was slow: 503, and the second request was refused because of the first.
    check(Payment::Refused, TooLate, Complete, true);
    for payment in [Payment::Taken, Payment::Refused] {
        check(payment, InTime, Cancelled, true);
        check(payment, TooLate, Complete, true);
        check(payment, InTime, Complete, false);
        check(payment, TooLate, Cancelled, false);
    }
    check(Payment::Declined, InTime, Cancelled, false);
}
