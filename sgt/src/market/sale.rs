use std::cell::RefCell;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use common::events::OrderStatus;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use hyper::StatusCode;
use jiff::Timestamp;
use tokio::time::{Instant, interval, sleep};

use super::api::{Api, Card, Order, Ticket};
use super::plan::{Person, Plan, PlannedTicket, Story, Weather};
use super::progress::Phase;

mod account;
mod unheard;

pub(crate) use account::{Account, Asked, Ids};

/// Sellers list this many tickets at once.
const LISTED_AT_ONCE: usize = 16;

/// The sale, as everybody who takes part in it lives it: through HTTP and nothing else.
pub(crate) struct Sale<'s> {
    api: &'s Api,
    /// How long anybody waits for something that must happen.
    patience: Duration,
    weather: Weather,
    account: RefCell<Account>,
}

/// A ticket on sale, and what becomes of it.
pub(crate) struct Offer<'p> {
    id: String,
    planned: &'p PlannedTicket,
}

/// How a payment ended for the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payment {
    Taken,
    Declined,
    /// The order is cancelled, expired or paid.
    Refused,
    /// Whether the money is gone is not known yet.
    Unanswered,
}

/// How a cancellation ended for the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancellation {
    InTime,
    /// The order is complete.
    TooLate,
}

impl<'s> Sale<'s> {
    pub(crate) fn new(api: &'s Api, patience: Duration, weather: Weather) -> Self {
        Self {
            api,
            patience,
            weather,
            account: RefCell::default(),
        }
    }

    /// Lists every ticket, and changes the price where that is planned.
    pub(crate) async fn list<'p>(&self, plan: &'p Plan, phase: &Phase) -> Vec<Offer<'p>> {
        let offers: Vec<_> = stream::iter(&plan.tickets)
            .map(|planned| async move {
                let listed = self.list_one(planned).await;
                phase.step();
                match listed {
                    Ok(id) => Some(Offer { id, planned }),
                    Err(err) => {
                        self.note_unexpected(&planned.title, &err);
                        None
                    }
                }
            })
            .buffer_unordered(LISTED_AT_ONCE)
            .collect()
            .await;
        offers.into_iter().flatten().collect()
    }

    async fn list_one(&self, planned: &PlannedTicket) -> anyhow::Result<String> {
        let PlannedTicket {
            title,
            price,
            seller,
            new_price,
            ..
        } = planned;
        let asked = Asked {
            seller: seller.to_string(),
            price: *price,
        };
        self.account.borrow_mut().asked.insert(title.clone(), asked);
        let begun = Timestamp::now();
        let mut is_unsure = false;
        let ticket: Ticket = self
            .until("ticket is listed", async || {
                if is_unsure && let Some(ticket) = self.find_listed(*seller, title, begun).await? {
                    return Ok(Some(ticket));
                }
                let answer = self.api.list_ticket(*seller, title, *price);
                let Some(answer) = self.heard(answer).await? else {
                    is_unsure = true;
                    let unsure = &mut self.account.borrow_mut().unsure;
                    *unsure.listings.entry(title.clone()).or_default() += 1;
                    return Ok(None);
                };
                match answer.status {
                    StatusCode::CREATED => answer.read().map(Some),
                    StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                    _ => bail!("listing was answered {}", answer.text()),
                }
            })
            .await?;
        self.account.borrow_mut().listed.add(&ticket.id);
        if let Some(new_price) = new_price {
            let prices = |prices| {
                self.account
                    .borrow_mut()
                    .prices
                    .insert(ticket.id.clone(), prices)
            };
            prices([*price, *new_price].into());
            self.until("price is changed", async || {
                let answer = self
                    .api
                    .change_ticket(*seller, &ticket.id, title, *new_price);
                let Some(answer) = self.heard(answer).await? else {
                    return Ok(None);
                };
                match answer.status {
                    StatusCode::OK => Ok(Some(())),
                    StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                    _ => bail!("change of price was answered {}", answer.text()),
                }
            })
            .await?;
            prices([*new_price].into());
            self.account.borrow_mut().repriced += 1;
        }
        Ok(ticket.id)
    }

    /// Lets the buyers do what is planned, so many at once.
    pub(crate) async fn sell(
        &self,
        mut offers: Vec<Offer<'_>>,
        at_once: NonZeroU32,
        phase: &Phase,
    ) {
        offers.sort_by_key(|offer| !offer.planned.story.is_slow());
        stream::iter(&offers)
            .for_each_concurrent(at_once.get() as usize, |offer| async move {
                if let Err(err) = self.tell(offer).await {
                    self.note_unexpected(&format!("ticket {}", offer.id), &err);
                }
                phase.step();
            })
            .await;
    }

    /// Lists one ticket after the other, at this pace at most, and lets buyers do with each what is planned, so
    /// many at once, until `end`. What has begun then goes on to its end.
    pub(crate) async fn trade(
        &self,
        plan: &Plan,
        at_once: usize,
        pace: Duration,
        end: impl Future<Output = ()>,
        phase: &Phase,
    ) {
        let pace = stream::unfold(interval(pace), async |mut pace| {
            pace.tick().await;
            Some(((), pace))
        });
        stream::iter(&plan.tickets)
            .zip(pace)
            .take_until(end)
            .for_each_concurrent(at_once, |(planned, ())| async move {
                let told = match self.list_one(planned).await {
                    Ok(id) => self.tell(&Offer { id, planned }).await,
                    Err(err) => Err(err),
                };
                if let Err(err) = told {
                    self.note_unexpected(&planned.title, &err);
                }
                phase.step();
            })
            .await;
    }

    /// What was done.
    pub(crate) fn into_account(self) -> Account {
        self.account.into_inner()
    }

    async fn tell(&self, offer: &Offer<'_>) -> anyhow::Result<()> {
        match &offer.planned.story {
            Story::Pays(buyer) => self.buy(*buyer, offer).await,
            Story::IsDeclinedFirst(buyer) => {
                let order = self.reserve(*buyer, offer).await?;
                if self.pay(*buyer, &order, Card::Declined).await? == Payment::Taken {
                    bail!("declined card paid for order {}", order.id);
                }
                self.pay_and_settle(*buyer, &order).await
            }
            Story::Cancels(buyer, next) => {
                let order = self.reserve(*buyer, offer).await?;
                self.cancel(*buyer, &order).await?;
                self.buy(*next, offer).await
            }
            Story::LetsExpire(buyer, next) => {
                self.let_expire(*buyer, offer).await?;
                self.buy(*next, offer).await
            }
            Story::Contest(buyers) => self.contest(buyers, offer).await,
            Story::PaysAndCancels(buyer, millis) => {
                self.pay_and_cancel(*buyer, *millis, offer).await
            }
            Story::PaysAtTheLastMoment(buyer, millis) => {
                let order = self.reserve(*buyer, offer).await?;
                let last_moment = Duration::from_millis(u64::from(*millis));
                sleep(time_left(&order).saturating_sub(last_moment)).await; // the story: the last moment
                self.pay_and_settle(*buyer, &order).await
            }
            Story::GatewayFallsSilent(buyer) => {
                let order = self.reserve(*buyer, offer).await?;
                self.pay(*buyer, &order, Card::Silent).await?;
                self.pay_and_settle(*buyer, &order).await
            }
            Story::StaysUnsold => Ok(()),
        }
    }

    /// Orders and pays, as most do.
    async fn buy(&self, buyer: Person, offer: &Offer<'_>) -> anyhow::Result<()> {
        let order = self.reserve(buyer, offer).await?;
        self.pay_and_settle(buyer, &order).await
    }

    /// Orders, and waits until the ticket's service has confirmed.
    async fn reserve(&self, buyer: Person, offer: &Offer<'_>) -> anyhow::Result<Order> {
        let order = self
            .until(format!("{buyer} gets the ticket"), async || {
                // Somebody who has just let it go still holds it where the news is not there yet.
                self.order(buyer, offer).await
            })
            .await?;
        self.confirmed(buyer, order).await
    }

    /// Orders once. `None` if somebody else has the ticket.
    async fn order(&self, buyer: Person, offer: &Offer<'_>) -> anyhow::Result<Option<Order>> {
        let begun = Timestamp::now();
        let mut is_unsure = false;
        self.until(format!("order of {buyer} is answered"), async || {
            let Some(answer) = self.heard(self.api.order(buyer, &offer.id)).await? else {
                is_unsure = true;
                let unsure = &mut self.account.borrow_mut().unsure;
                let order = (buyer.to_string(), offer.id.clone());
                *unsure.orders.entry(order).or_default() += 1;
                return Ok(None);
            };
            match answer.status {
                StatusCode::CREATED => {
                    let order: Order = answer.read()?;
                    let mut account = self.account.borrow_mut();
                    account.took(&order.id, buyer.to_string(), &offer.id);
                    Ok(Some(Some(order)))
                }
                // Whoever has the ticket may be the same buyer, and not know it.
                StatusCode::CONFLICT if is_unsure => {
                    self.find_order(buyer, offer, begun).await.map(Some)
                }
                StatusCode::CONFLICT => Ok(Some(None)),
                // The ticket is on its way to orders-service.
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                _ => bail!("order of {buyer} was answered {}", answer.text()),
            }
        })
        .await
    }

    async fn confirmed(&self, buyer: Person, order: Order) -> anyhow::Result<Order> {
        self.until_status(buyer, &order, |status| status != OrderStatus::Created)
            .await?;
        Ok(order)
    }

    async fn pay_and_settle(&self, buyer: Person, order: &Order) -> anyhow::Result<()> {
        let payment = self.pay(buyer, order, Card::Good).await?;
        let status = self.settled(buyer, order).await?;
        match (payment, status) {
            (Payment::Taken | Payment::Refused | Payment::Unanswered, OrderStatus::Complete) => {
                Ok(())
            }
            (Payment::Declined, _) => bail!("good card was declined for order {}", order.id),
            // Not in time, or in time and overtaken on the way; then the money comes back.
            _ => {
                self.account.borrow_mut().paid_too_late += 1;
                Ok(())
            }
        }
    }

    async fn pay(&self, buyer: Person, order: &Order, card: Card) -> anyhow::Result<Payment> {
        let payment = self
            .until(
                format!("payment of order {} is answered", order.id),
                async || {
                    let Some(answer) = self.heard(self.api.pay(buyer, &order.id, card)).await?
                    else {
                        return Ok(None);
                    };
                    match answer.status {
                        StatusCode::CREATED => Ok(Some(Payment::Taken)),
                        StatusCode::PAYMENT_REQUIRED => Ok(Some(Payment::Declined)),
                        StatusCode::CONFLICT => Ok(Some(Payment::Refused)),
                        // The order is on its way to payments-service.
                        StatusCode::NOT_FOUND => Ok(None),
                        StatusCode::SERVICE_UNAVAILABLE if card == Card::Silent => {
                            Ok(Some(Payment::Unanswered))
                        }
                        StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                        _ => bail!(
                            "payment of order {} was answered {}",
                            order.id,
                            answer.text()
                        ),
                    }
                },
            )
            .await?;
        let mut account = self.account.borrow_mut();
        match payment {
            Payment::Taken => account.paid.add(&order.id),
            Payment::Declined => account.declined.add(&order.id),
            Payment::Unanswered => account.unanswered += 1,
            Payment::Refused => {}
        }
        Ok(payment)
    }

    async fn cancel(&self, buyer: Person, order: &Order) -> anyhow::Result<Cancellation> {
        let cancellation = self
            .until(
                format!("cancellation of order {} is answered", order.id),
                async || {
                    let answer = self.api.cancel_order(buyer, &order.id);
                    let Some(answer) = self.heard(answer).await? else {
                        return Ok(None);
                    };
                    match answer.status {
                        StatusCode::OK | StatusCode::NO_CONTENT => Ok(Some(Cancellation::InTime)),
                        StatusCode::CONFLICT => Ok(Some(Cancellation::TooLate)),
                        StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                        _ => bail!(
                            "cancellation of order {} was answered {}",
                            order.id,
                            answer.text()
                        ),
                    }
                },
            )
            .await?;
        let mut account = self.account.borrow_mut();
        match cancellation {
            Cancellation::InTime => account.cancelled.add(&order.id),
            Cancellation::TooLate => account.cancelled_too_late += 1,
        }
        Ok(cancellation)
    }

    async fn let_expire(&self, buyer: Person, offer: &Offer<'_>) -> anyhow::Result<()> {
        let order = self.reserve(buyer, offer).await?;
        self.account.borrow_mut().let_expire.add(&order.id);

        let PlannedTicket {
            title,
            price,
            seller,
            ..
        } = offer.planned;
        self.until("price of a reserved ticket is kept", async || {
            let answer = self.api.change_ticket(*seller, &offer.id, title, *price);
            let answer = self.heard(answer).await?;
            if answer
                .as_ref()
                .is_none_or(|answer| answer.status != StatusCode::CONFLICT)
            {
                self.account.borrow_mut().may_cost(&offer.id, *price);
            }
            let Some(answer) = answer else {
                return Ok(None);
            };
            match answer.status {
                StatusCode::CONFLICT => {
                    self.account.borrow_mut().kept_from_repricing += 1;
                    Ok(Some(()))
                }
                StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                // The order may have come to its end while the request waited for its turn.
                _ if time_left(&order).is_zero() => Ok(Some(())),
                _ => bail!(
                    "price of a reserved ticket could be changed: {}",
                    answer.text()
                ),
            }
        })
        .await?;

        sleep(time_left(&order)).await; // the story: nobody pays
        self.until_status(buyer, &order, |status| status == OrderStatus::Cancelled)
            .await
            .map(drop)
    }

    async fn contest(&self, buyers: &[Person], offer: &Offer<'_>) -> anyhow::Result<()> {
        let tries = buyers.iter().map(|&buyer| async move {
            let order = self.order(buyer, offer).await?;
            anyhow::Ok(order.map(|order| (buyer, order)))
        });
        let mut winners = Vec::new();
        for tried in join_all(tries).await {
            winners.extend(tried?);
        }
        {
            let mut account = self.account.borrow_mut();
            account.contests += 1;
            account.beaten += u32::try_from(buyers.len() - winners.len())?;
        }
        // In rough weather an order comes to its end while others still ask, or is taken and nobody hears of it.
        ensure!(
            winners.len() == 1 || self.weather == Weather::Rough,
            "{} of {} buyers got an order for one ticket at once",
            winners.len(),
            buyers.len(),
        );
        for (buyer, order) in winners {
            let order = self.confirmed(buyer, order).await?;
            self.pay_and_settle(buyer, &order).await?;
        }
        Ok(())
    }

    async fn pay_and_cancel(
        &self,
        buyer: Person,
        millis: u32,
        offer: &Offer<'_>,
    ) -> anyhow::Result<()> {
        let order = self.reserve(buyer, offer).await?;
        let regret = async {
            sleep(Duration::from_millis(u64::from(millis))).await; // the story: in the middle of the payment
            self.cancel(buyer, &order).await
        };
        let (payment, cancellation) = tokio::join!(self.pay(buyer, &order, Card::Good), regret);
        let (payment, cancellation) = (payment?, cancellation?);
        let status = self.settled(buyer, &order).await?;
        ensure!(
            is_right_end(payment, cancellation, status),
            "order {} is {status:?}, payment {payment:?}, cancellation {cancellation:?}",
            order.id,
        );
        Ok(())
    }

    /// Waits until the order is at its end.
    async fn settled(&self, buyer: Person, order: &Order) -> anyhow::Result<OrderStatus> {
        let at_end = |status| matches!(status, OrderStatus::Complete | OrderStatus::Cancelled);
        self.until_status(buyer, order, at_end).await
    }

    async fn until_status(
        &self,
        buyer: Person,
        order: &Order,
        wanted: impl Fn(OrderStatus) -> bool,
    ) -> anyhow::Result<OrderStatus> {
        self.until(format!("order {} goes on", order.id), async || {
            let Some(answer) = self.heard(self.api.show_order(buyer, &order.id)).await? else {
                return Ok(None);
            };
            match answer.status {
                StatusCode::OK => {
                    let Order { status, .. } = answer.read()?;
                    let mut account = self.account.borrow_mut();
                    match status {
                        OrderStatus::Complete => account.seen_complete.add(&order.id),
                        OrderStatus::Cancelled => account.seen_cancelled.add(&order.id),
                        OrderStatus::Created | OrderStatus::AwaitingPayment => {}
                    }
                    Ok(wanted(status).then_some(status))
                }
                StatusCode::SERVICE_UNAVAILABLE => Ok(self.note_unavailable()),
                _ => bail!("look at order {} was answered {}", order.id, answer.text()),
            }
        })
        .await
    }

    /// Asks again and again until there is an answer, more and more seldom.
    async fn until<T>(
        &self,
        what: impl Display,
        mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(15);
        while Instant::now() < deadline {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            sleep(pause).await; // HTTP tells nobody when the answer changes
            pause = (pause * 3 / 2).min(Duration::from_millis(400));
        }
        Err(anyhow::anyhow!("not within {:?}", self.patience)).with_context(|| what.to_string())
    }

    fn note_unavailable<T>(&self) -> Option<T> {
        self.account.borrow_mut().unavailable += 1;
        None
    }

    fn note_unexpected(&self, of: &str, err: &anyhow::Error) {
        let line = format!("{of}: {err:#}");
        self.account.borrow_mut().unexpected.push(line);
    }
}

/// Whether this may become of an order that was paid with a good card and cancelled at once.
fn is_right_end(payment: Payment, cancellation: Cancellation, status: OrderStatus) -> bool {
    match (payment, cancellation, status) {
        (Payment::Declined, _, _) => false,
        // A payment that is refused may have been taken: the gateway was slow, the service asked for
        // patience, and the second request found the first.
        (Payment::Taken | Payment::Refused | Payment::Unanswered, cancellation, status) => {
            match cancellation {
                Cancellation::InTime => status == OrderStatus::Cancelled,
                Cancellation::TooLate => status == OrderStatus::Complete,
            }
        }
    }
}

fn time_left(order: &Order) -> Duration {
    let left = order.expires_at.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or_default()
}

#[cfg(test)]
mod tests;
