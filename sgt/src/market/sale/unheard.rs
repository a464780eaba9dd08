//! What people do who hear nothing.

use anyhow::bail;
use common::events::OrderStatus;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::super::api::{Answer, ListedTicket, Order, OwnOrder, Ticket};
use super::super::plan::{Person, Weather};
use super::{Offer, Sale};

/// As many as a page of a list has at most.
const PAGE: usize = 100;

impl Sale<'_> {
    /// What was answered. `None` in rough weather: nothing, and it is to be asked again.
    pub(super) async fn heard(
        &self,
        answer: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Option<Answer>> {
        match (answer.await, self.weather) {
            (Ok(answer), _) => Ok(Some(answer)),
            (Err(err), Weather::Calm) => Err(err),
            (Err(_), Weather::Rough) => {
                self.account.borrow_mut().lost_answers += 1;
                Ok(None)
            }
        }
    }

    /// The ticket of this title, if it was listed since.
    pub(super) async fn find_listed(
        &self,
        seller: Person,
        title: &str,
        since: Timestamp,
    ) -> anyhow::Result<Option<Ticket>> {
        let mut after = first_id(since)?;
        loop {
            let answer = self.api.tickets_after(seller, &after);
            let Some(page) = self.page::<ListedTicket>(answer).await? else {
                return Ok(None);
            };
            match page.iter().find(|listed| listed.title == title) {
                Some(ListedTicket { id, .. }) => return Ok(Some(Ticket { id: id.clone() })),
                None if page.len() < PAGE => return Ok(None),
                None => after.clone_from(&page[page.len() - 1].id),
            }
        }
    }

    /// The buyer's order of the ticket, if it was placed since and stands.
    pub(super) async fn find_order(
        &self,
        buyer: Person,
        offer: &Offer<'_>,
        since: Timestamp,
    ) -> anyhow::Result<Option<Order>> {
        let after = first_id(since)?;
        let page = self
            .until(format!("{buyer} looks up the order"), async || {
                self.page::<OwnOrder>(self.api.orders_after(buyer, &after))
                    .await
            })
            .await?;
        let own = page
            .into_iter()
            .find(|own| own.ticket.id == offer.id && own.order.status != OrderStatus::Cancelled);
        Ok(own.map(|own| {
            let mut account = self.account.borrow_mut();
            account.took(&own.order.id, buyer.to_string(), &offer.id);
            own.order
        }))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        answer: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Option<Vec<T>>> {
        match self.heard(answer).await? {
            Some(answer) if answer.status == StatusCode::OK => answer.read().map(Some),
            Some(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                Ok(self.note_unavailable())
            }
            Some(answer) => bail!("look at a list was answered {}", answer.text()),
            None => Ok(None),
        }
    }
}

/// The first id that can have been given since: ids begin with the time.
fn first_id(since: Timestamp) -> anyhow::Result<String> {
    let millis = u64::try_from(since.as_millisecond())?;
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]);
    Ok(id.into_uuid().to_string())
}
