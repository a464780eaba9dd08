//! Events, as the runner hands them over: applied once, in order, or refused.

use common::events::{
    OrderCancelled, OrderCompleted, OrderId, OrderStatus, OrderedTicket, TicketCreated, TicketId,
    TicketUpdated,
};
use common::testing::{Envelope, Outcome, deliver, sample};
use common::{InTransaction, Version};
use payments_service::PayError;
use payments_service::listeners::{
    AddOnOrderCreated, CloseOnOrderCompleted, NameOnTicketCreated, NameOnTicketUpdated,
    RefundOnOrderCancelled,
};
use sqlx::Row as _;

use crate::books::Books;
use crate::shop::{Shop, pay};

#[tokio::test]
async fn order_is_added_once() {
    let shop = Shop::open().await;
    let listener = InTransaction::new(&shop.database, AddOnOrderCreated);
    let order = shop.order_created();
    let envelope = Envelope::of(&order);

    assert_eq!(envelope.deliver_to(&listener).await, Outcome::Acked);
    assert_not_applied_again(&envelope.deliver_to(&listener).await);
    // As another event of the same version, which a publisher that tells it twice makes.
    assert_eq!(deliver(&listener, order.clone()).await, Outcome::PassedOver);

    pay(&shop.cashier(), order.id, "tok_visa").await.unwrap();
    assert_eq!(shop.books(order.id).await, Books::paid());
}

#[tokio::test]
async fn order_told_of_again_keeps_what_became_of_it() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    shop.apply(&AddOnOrderCreated, order.clone()).await.unwrap();
    shop.cancel(order.id).await.unwrap();

    // The guard would keep it out; the row does not depend on that.
    shop.apply(&AddOnOrderCreated, order.clone()).await.unwrap();

    let err = pay(&shop.cashier(), order.id, "tok_visa")
        .await
        .unwrap_err();
    assert!(matches!(err, PayError::Cancelled), "{err}");
}

#[tokio::test]
async fn order_that_begins_at_its_end_cannot_be_paid() {
    let shop = Shop::open().await;
    let mut ended = [shop.order_created(), shop.order_created()];
    ended[0].status = OrderStatus::Cancelled;
    ended[1].status = OrderStatus::Complete;
    let mut awaiting = shop.order_created();
    awaiting.status = OrderStatus::AwaitingPayment;
    for order in ended.iter().chain([&awaiting]) {
        shop.apply(&AddOnOrderCreated, order.clone()).await.unwrap();
    }

    let [cancelled, complete] = ended.map(|order| order.id);
    let cashier = shop.cashier();
    let err = pay(&cashier, cancelled, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::Cancelled), "{err}");
    let err = pay(&cashier, complete, "tok_visa").await.unwrap_err();
    assert!(matches!(err, PayError::AlreadyPaid), "{err}");
    pay(&cashier, awaiting.id, "tok_visa").await.unwrap();
}

#[tokio::test]
async fn payload_that_is_no_order_is_not_applied() {
    let shop = Shop::open().await;
    let listener = InTransaction::new(&shop.database, AddOnOrderCreated);
    let order = shop.order_created();
    let mut free = serde_json::to_value(&order).unwrap();
    free["ticket"]["price"] = 0.into();
    let free = serde_json::to_vec(&free).unwrap();

    for payload in [&b""[..], b"{", b"{\"id\":1}", &free] {
        let envelope = Envelope::of(&order).payload(payload.to_vec());
        let outcome = envelope.deliver_to(&listener).await;
        assert!(
            matches!(outcome, Outcome::Undecodable { .. }),
            "{outcome:?}"
        );
    }
    let err = pay(&shop.cashier(), order.id, "tok_visa")
        .await
        .unwrap_err();
    assert!(matches!(err, PayError::UnknownOrder), "{err}");
}

#[tokio::test]
async fn cancellation_is_applied_once_and_refunds_once() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    let created = InTransaction::new(&shop.database, AddOnOrderCreated);
    let cancelled = InTransaction::new(&shop.database, RefundOnOrderCancelled::new(shop.clock()));
    assert_eq!(deliver(&created, order.clone()).await, Outcome::Acked);
    pay(&shop.cashier(), order.id, "tok_visa").await.unwrap();
    let envelope = Envelope::of(&cancellation(order.id));

    assert_eq!(envelope.deliver_to(&cancelled).await, Outcome::Acked);
    shop.work(&shop.cashier()).await;
    assert_not_applied_again(&envelope.deliver_to(&cancelled).await);
    shop.work(&shop.cashier()).await;

    assert_eq!(shop.books(order.id).await, Books::refunded());
}

#[tokio::test]
async fn cancellation_that_overtakes_its_order_is_held() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    let cancelled = InTransaction::new(&shop.database, RefundOnOrderCancelled::new(shop.clock()));
    let completed = InTransaction::new(&shop.database, CloseOnOrderCompleted);

    let outcome = deliver(&cancelled, cancellation(order.id)).await;
    assert_eq!(outcome, Outcome::Held);
    let outcome = deliver(&completed, completion(shop.order_created().id)).await;
    assert_eq!(outcome, Outcome::Held);
}

#[tokio::test]
async fn completion_is_applied_once() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    let created = InTransaction::new(&shop.database, AddOnOrderCreated);
    let completed = InTransaction::new(&shop.database, CloseOnOrderCompleted);
    assert_eq!(deliver(&created, order.clone()).await, Outcome::Acked);
    let envelope = Envelope::of(&completion(order.id));

    assert_eq!(envelope.deliver_to(&completed).await, Outcome::Acked);
    assert_not_applied_again(&envelope.deliver_to(&completed).await);

    let err = pay(&shop.cashier(), order.id, "tok_visa")
        .await
        .unwrap_err();
    assert!(matches!(err, PayError::AlreadyPaid), "{err}");
}

#[tokio::test]
async fn end_that_contradicts_the_other_is_rejected() {
    let shop = Shop::open().await;
    let order = shop.order_created();
    let created = InTransaction::new(&shop.database, AddOnOrderCreated);
    let completed = InTransaction::new(&shop.database, CloseOnOrderCompleted);
    let cancelled = InTransaction::new(&shop.database, RefundOnOrderCancelled::new(shop.clock()));
    let _ = deliver(&created, order.clone()).await;
    let _ = deliver(&cancelled, cancellation(order.id)).await;

    let mut late = completion(order.id);
    late.version = late.version.next();

    assert_eq!(
        deliver(&completed, late).await,
        Outcome::Rejected {
            reason: format!("order {} is cancelled for ever", order.id)
        }
    );
}

#[tokio::test]
async fn ticket_is_called_what_the_newest_version_says() {
    let shop = Shop::open().await;
    let created = InTransaction::new(&shop.database, NameOnTicketCreated);
    let updated = InTransaction::new(&shop.database, NameOnTicketUpdated);
    let ticket = TicketId::new();
    let first = Envelope::of(&TicketCreated {
        id: ticket,
        title: sample::title("first"),
        ..sample::ticket_created()
    });
    let update = |version: u64, title: &str| TicketUpdated {
        id: ticket,
        version: sample::version(version),
        title: sample::title(title),
        ..sample::ticket_updated()
    };
    let third = Envelope::of(&update(3, "third"));

    assert_eq!(first.deliver_to(&created).await, Outcome::Acked);
    assert_eq!(title(&shop, ticket).await.as_deref(), Some("first"));
    assert_not_applied_again(&first.deliver_to(&created).await);
    assert_eq!(third.deliver_to(&updated).await, Outcome::Acked);
    assert_not_applied_again(&deliver(&updated, update(2, "second")).await);
    assert_not_applied_again(&third.deliver_to(&updated).await);

    assert_eq!(title(&shop, ticket).await.as_deref(), Some("third"));
}

#[tokio::test]
async fn ticket_may_be_named_by_an_update_alone() {
    let shop = Shop::open().await;
    let created = InTransaction::new(&shop.database, NameOnTicketCreated);
    let updated = InTransaction::new(&shop.database, NameOnTicketUpdated);
    let update = TicketUpdated {
        title: sample::title("newer"),
        version: sample::version(2),
        ..sample::ticket_updated()
    };
    let older = TicketCreated {
        id: update.id,
        ..sample::ticket_created()
    };

    assert_eq!(deliver(&updated, update.clone()).await, Outcome::Acked);
    assert_not_applied_again(&deliver(&created, older).await);

    assert_eq!(title(&shop, update.id).await.as_deref(), Some("newer"));
}

#[track_caller]
fn assert_not_applied_again(outcome: &Outcome) {
    let is_known = matches!(outcome, Outcome::Duplicate | Outcome::AlreadyApplied);
    assert!(is_known, "{outcome:?}");
}

async fn title(shop: &Shop, ticket: TicketId) -> Option<String> {
    sqlx::query("SELECT title FROM tickets WHERE id = $1")
        .bind(ticket.to_string())
        .fetch_optional(shop.database.reader())
        .await
        .unwrap()
        .map(|row| row.get("title"))
}

fn cancellation(order: OrderId) -> OrderCancelled {
    OrderCancelled {
        id: order,
        version: Version::FIRST.next(),
        ticket: OrderedTicket {
            id: TicketId::new(),
        },
    }
}

fn completion(order: OrderId) -> OrderCompleted {
    OrderCompleted {
        id: order,
        version: Version::FIRST.next(),
        ticket: OrderedTicket {
            id: TicketId::new(),
        },
    }
}
