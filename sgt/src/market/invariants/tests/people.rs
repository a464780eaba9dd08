//! People who were told what is not so, and prices that nobody asked.

use super::*;

#[tokio::test]
async fn what_was_told_and_is_not_so_is_found() {
    #[track_caller]
    fn check(facts: &Facts, ids: fn(&mut Account) -> &mut Ids, id: &str, line: &str) {
        let mut told = told();
        ids(&mut told).0.insert(id.to_owned());
        let broken = broken_promises(facts, &told);
        expect_of(&broken, "sellers and buyers were told what is so", line);
    }
    let facts = facts(LEDGER_DB, "").await;
    check(
        &facts,
        |told| &mut told.listed,
        "gone",
        "ticket gone is listed, and it is not",
    );
    check(
        &facts,
        |told| &mut told.ordered,
        "gone",
        "order gone is taken, and it is not",
    );
    check(
        &facts,
        |told| &mut told.paid,
        "gone",
        "order gone is paid, and it is not",
    );
    check(
        &facts,
        |told| &mut told.cancelled,
        id_of("paid"),
        "order paid is cancelled, and it is not",
    );
    let card = "the card of order paid is declined, and it is not";
    check(&facts, |told| &mut told.declined, id_of("paid"), card);
}

#[tokio::test]
async fn what_is_there_and_nobody_was_told_is_found() {
    let facts = facts(LEDGER_DB, "").await;
    let mut told = told();
    told.ordered.0.remove(id_of("late"));
    expect_of(
        &broken_promises(&facts, &told),
        "sellers and buyers were told what is so",
        "order late is there, and nobody was told",
    );
}

#[tokio::test]
async fn what_somebody_asked_for_and_heard_nothing_of_is_no_lie() {
    let facts = facts(TICKETS_DB, "").await;
    let mut told = told();
    told.listed.0.remove("new");
    told.ordered.0.remove(id_of("late"));
    told.unsure.listings.insert("Harbour".to_owned(), 1);
    let wish = ("bob".to_owned(), "back".to_owned());
    told.unsure.orders.insert(wish, 1);
    assert_eq!(broken_promises(&facts, &told), []);

    // One request explains one ticket, and no other.
    told.listed.0.remove("back");
    expect_of(
        &broken_promises(&facts, &told),
        "sellers and buyers were told what is so",
        "ticket back is there, and nobody was told",
    );
}

#[tokio::test]
async fn end_that_somebody_has_seen_and_is_not_is_found() {
    let facts = facts(LEDGER_DB, "").await;
    let invariant = "sellers and buyers were told what is so";
    let mut account = told();
    account.seen_complete.0.insert(id_of("late").to_owned());
    let line = "order late is complete, and it is not";
    expect_of(&broken_promises(&facts, &account), invariant, line);

    let mut account = told();
    account.seen_cancelled.0.insert(id_of("paid").to_owned());
    let line = "order paid is cancelled, and it is not";
    expect_of(&broken_promises(&facts, &account), invariant, line);
}

#[tokio::test]
async fn order_of_somebody_else_is_found() {
    let mut facts = facts(LEDGER_DB, "").await;
    facts.orders[0].user = "eve".to_owned();
    expect(
        &facts,
        "sellers and buyers were told what is so",
        "order paid was placed by bob for sold, and is of eve for sold",
    );
}

const AS_ASKED: &str = "tickets and orders are at the prices that sellers asked";

#[tokio::test]
async fn price_that_nobody_asked_is_found() {
    // As if everybody had been told it: all three services agree.
    let mut facts = facts(LEDGER_DB, "").await;
    facts.tickets[0].price = 501;
    facts.orders[0].price = 501;
    let ticket = facts.tickets[0].id.clone();
    let line = format!("ticket {ticket} costs 501, and its seller asks");
    expect(&facts, AS_ASKED, &line);
    expect(&facts, AS_ASKED, "order ");
}

#[tokio::test]
async fn price_that_was_changed_is_found_if_it_is_the_old_one() {
    let mut facts = facts(LEDGER_DB, "").await;
    let new = facts.tickets.iter_mut().find(|ticket| ticket.id == "new");
    new.unwrap().price = 650;
    expect(
        &facts,
        AS_ASKED,
        "ticket new costs 650, and its seller asks {700}",
    );
}

#[tokio::test]
async fn ticket_of_another_seller_or_of_nobody_is_found() {
    let mut facts = facts(TICKETS_DB, "").await;
    facts.tickets[0].seller = "eve".to_owned();
    facts.tickets[1].title = "Nobody's".to_owned();
    expect(&facts, AS_ASKED, "is of eve, and ann has listed it");
    expect(&facts, AS_ASKED, "nobody has listed ticket");
}
