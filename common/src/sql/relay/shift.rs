use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::outbox::{self, Acknowledged, Lane, Waiting};
use super::lanes::{Lanes, PAGE, Taken};
use super::lease::Lease;
use super::{Broker, Office, PART};
use crate::error::Chain;
use crate::publisher::{PublishError, Stored};

/// How many events are on their way at once.
const ON_THE_WAY: usize = 256;
/// How many rows are removed at once.
const REMOVAL: usize = 256;

type Sent = (Waiting, Result<Stored, PublishError>);

/// What a relay does while it has the lease.
pub(super) struct Shift<'s, 'o, B> {
    office: &'s Office<'o, B>,
    lease: Lease,
    lanes: Lanes,
    on_the_way: FuturesUnordered<BoxFuture<'s, Sent>>,
    /// What the server has, and the outbox still.
    acknowledged: &'s mut Vec<Acknowledged>,
    /// When they are removed at the latest.
    remove_at: Option<Instant>,
    /// Lanes whose blocked event has got through.
    unblocked: Vec<Lane>,
    /// Blocked lanes, not yet set aside.
    park: Vec<Lane>,
    /// Whether the outbox may have what is not in memory.
    unread: bool,
    poll_at: Instant,
}

impl<'s, 'o, B: Broker> Shift<'s, 'o, B> {
    pub(super) fn new(
        office: &'s Office<'o, B>,
        lease: Lease,
        acknowledged: &'s mut Vec<Acknowledged>,
    ) -> Self {
        Self {
            office,
            lease,
            lanes: Lanes::new(office.pace),
            on_the_way: FuturesUnordered::new(),
            acknowledged,
            remove_at: None,
            unblocked: Vec::new(),
            park: Vec::new(),
            unread: true,
            poll_at: Instant::now() + office.pace.poll,
        }
    }

    /// Works until the lease is lost or `stop`, and then sends what was committed until then. An error of the
    /// database ends the shift.
    pub(super) async fn run(
        mut self,
        woken: &mut watch::Receiver<()>,
        stop: &CancellationToken,
    ) -> Result<(), sqlx::Error> {
        self.remove_acknowledged().await?;
        outbox::unpark_all(self.office.database.writer()).await?;
        let mut give_up = None;
        loop {
            if stop.is_cancelled() && give_up.is_none() {
                give_up = Some(Instant::now() + self.office.pace.drain);
                // What was committed a moment ago may not have been read.
                self.unread = true;
            }
            if self.lease.renew_in().is_zero() && !self.lease.renew(self.office.database).await? {
                tracing::warn!(epoch = self.lease.epoch(), "relay has lost its lease");
                return Ok(());
            }
            self.tidy().await?;
            if give_up.is_some_and(|at| at <= Instant::now()) {
                break;
            }
            self.send_more().await?;
            if give_up.is_some() && self.has_sent_all() {
                break;
            }
            self.tell_health();
            let wake_at = self.wake_at(give_up);
            tokio::select! {
                Some(sent) = self.on_the_way.next() => self.settle_ready(sent),
                Ok(()) = woken.changed(), if give_up.is_none() => self.unread = true,
                () = stop.cancelled(), if give_up.is_none() => (),
                () = tokio::time::sleep_until(wake_at) => (),
            }
        }
        self.remove_acknowledged().await?;
        self.lease.release(self.office.database).await
    }

    /// Brings the outbox in line with what was learned.
    async fn tidy(&mut self) -> Result<(), sqlx::Error> {
        let writer = self.office.database.writer();
        let idle = self.on_the_way.is_empty() && !self.lanes.is_ready();
        let late = self.remove_at.is_some_and(|at| at <= Instant::now());
        if idle || late || self.acknowledged.len() >= REMOVAL {
            self.remove_acknowledged().await?;
        }
        if !self.park.is_empty() {
            outbox::park(writer, &self.park, self.lease.epoch()).await?;
            self.park.clear();
        }
        while let Some(lane) = self.unblocked.pop() {
            outbox::unpark(writer, &lane).await?;
            self.lanes.unblocked(&lane, Instant::now());
            self.unread = true;
        }
        Ok(())
    }

    async fn remove_acknowledged(&mut self) -> Result<(), sqlx::Error> {
        for batch in self.acknowledged.chunks(REMOVAL) {
            let removed = outbox::remove(self.office.database.writer(), batch).await?;
            self.lanes.removed(&removed);
        }
        self.acknowledged.clear();
        self.remove_at = None;
        Ok(())
    }

    async fn send_more(&mut self) -> Result<(), sqlx::Error> {
        let now = Instant::now();
        if self.poll_at <= now {
            self.poll_at = now + self.office.pace.poll;
            self.unread = true;
        }
        self.unread |= self.lanes.wants_reading(now);
        if self.unread && self.lanes.has_room() {
            self.read(now).await?;
        }
        for lane in self.lanes.to_probe(Instant::now()) {
            match outbox::first_of(self.office.database.reader(), &lane).await? {
                Some(event) => {
                    self.lanes.probed(&event);
                    self.send(event);
                }
                // Somebody has removed it by hand.
                None => self.unblocked.push(lane),
            }
        }
        // The lease is looked at last: reading may have taken long.
        while self.on_the_way.len() < ON_THE_WAY && self.lease.lives() {
            let Some(event) = self.lanes.next() else {
                break;
            };
            self.send(event);
        }
        Ok(())
    }

    /// Whether all is sent that can be: what is blocked or paused is not waited for.
    fn has_sent_all(&self) -> bool {
        self.on_the_way.is_empty() && !self.lanes.is_ready() && !self.unread
    }

    /// Reads what is not in memory, until the end or until there is no room.
    async fn read(&mut self, now: Instant) -> Result<(), sqlx::Error> {
        self.unread = false;
        self.lanes.begin_reading();
        // Asked once: a pause that ends meanwhile is noticed later, and all of its rows are read then.
        let paused = self.lanes.paused(now);
        loop {
            if !self.lanes.has_room() {
                self.unread = true;
                break;
            }
            let page = self.lanes.page(&paused);
            let events = outbox::read(self.office.database.reader(), &page).await?;
            let last = events.len() < PAGE;
            let mut blocked = Vec::new();
            for event in events {
                if let Taken::Blocked(lane) = self.lanes.take_in(event)
                    && !blocked.contains(&lane)
                {
                    blocked.push(lane);
                }
            }
            // At once, or the next page would bring them again.
            let writer = self.office.database.writer();
            if !blocked.is_empty() && outbox::park(writer, &blocked, self.lease.epoch()).await? == 0
            {
                // It is another relay's lease, as will be seen when it is renewed.
                self.unread = true;
                break;
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, event: Waiting) {
        let broker = self.office.broker;
        let sending = async move {
            let sent = match event.outgoing() {
                Ok(outgoing) => {
                    // What is overdue is sent as what is due now: a plain message.
                    let due = event.due.filter(|due| *due > Timestamp::now());
                    broker.send(&outgoing, due).await
                }
                Err(err) => Err(err),
            };
            (event, sent)
        };
        self.on_the_way.push(sending.boxed());
    }

    /// Notes what became of an event, and of all others that have arrived meanwhile.
    fn settle_ready(&mut self, sent: Sent) {
        let mut next = Some(sent);
        while let Some((event, result)) = next {
            self.settle(&event, result);
            next = self.on_the_way.next().now_or_never().flatten();
        }
    }

    fn settle(&mut self, event: &Waiting, result: Result<Stored, PublishError>) {
        let now = Instant::now();
        match result {
            Ok(_) => {
                self.lanes.acknowledged(event);
                if self.lanes.is_blocked(&event.lane) {
                    self.unblocked.push(event.lane.clone());
                }
                self.acknowledged.push(event.acknowledged());
                self.remove_at.get_or_insert(now + self.office.pace.removal);
            }
            Err(err) if err.is_retryable() => {
                self.lanes.interrupted(event, Chain(&err).to_string(), now);
            }
            Err(err) => {
                let subject = event.subject();
                let reason = format!("{subject}: {}", Chain(&err));
                self.lanes.refused(event, reason, now);
                self.park.push(event.lane.clone());
            }
        }
    }

    fn tell_health(&self) {
        match self.lanes.trouble() {
            Some((severity, message)) => self.office.health.report(PART, severity, message),
            None => self.office.health.clear(PART),
        }
    }

    /// When something is to be done though nothing happens.
    fn wake_at(&self, give_up: Option<Instant>) -> Instant {
        let now = Instant::now();
        let sooner = match give_up {
            Some(give_up) => [Some(give_up), None],
            None => [Some(self.poll_at), self.lanes.next_due()],
        };
        sooner
            .into_iter()
            .chain([self.remove_at])
            .flatten()
            .fold(now + self.lease.renew_in(), Instant::min)
    }
}
