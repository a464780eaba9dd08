//! How a listener is called, so that nothing it does wrong reaches the caller.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;

use crate::failure::Failure;
use crate::listener::{Decision, Delivery, Listener};
use crate::message::{DecodeError, Incoming, caused_by};

/// What came of calling a listener with one message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The listener settled the message.
    Decided(Decision),
    /// The listener failed.
    Failed(Failure),
    /// The listener panicked, with this message.
    Panicked(String),
    /// The listener ran longer than its deadline, and was stopped.
    TimedOut(Duration),
    /// The listener returned what settles another message. A bug in the listener.
    ForeignSettlement,
    /// The message is no event that the listener could be given.
    Undecodable(DecodeError),
}

/// Decodes the message and calls the listener with it: as the cause of whatever is published
/// meanwhile, until the listener's deadline, and with its panics caught.
///
/// Decoding is guarded too: `Deserialize`, an earlier form's `TryInto` and `Event::key` may be
/// written by hand.
pub(crate) async fn handle<L: Listener>(listener: &L, incoming: &Incoming) -> Verdict {
    let call = caused_by(Arc::clone(&incoming.metadata), call(listener, incoming));
    AssertUnwindSafe(call)
        .catch_unwind()
        .await
        .unwrap_or_else(|payload| Verdict::Panicked(panic_message(&*payload)))
}

/// The handler's future is made and dropped in here, so that a panic of either is caught as well.
async fn call<L: Listener>(listener: &L, incoming: &Incoming) -> Verdict {
    let event = match incoming.decode::<L::Event>() {
        Ok(event) => event,
        Err(err) => return Verdict::Undecodable(err),
    };
    let delivery = Delivery::of(incoming);
    let nonce = delivery.nonce();
    match tokio::time::timeout(L::DEADLINE, listener.on_message(event, delivery)).await {
        Ok(Ok(settled)) => settled
            .decided_for(nonce)
            .map_or(Verdict::ForeignSettlement, Verdict::Decided),
        Ok(Err(failure)) => Verdict::Failed(failure),
        Err(_) => Verdict::TimedOut(L::DEADLINE),
    }
}

/// What a panic says, if it says anything.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;
    use crate::events::{ExpirationComplete, OrderId};
    use crate::message::Outgoing;
    use crate::metadata::Position;
    use crate::{Event as _, Headers, ORDERS_SERVICE, QueueGroup, Settled};

    /// Does what it is told, before its first suspension or after.
    enum Scripted {
        Acks,
        Panics,
        PanicsBeforeItsFuture,
        PanicsWhenStopped,
        Hangs,
        Swaps(Mutex<Option<Settled>>),
    }

    impl Listener for Scripted {
        type Event = ExpirationComplete;

        const QUEUE_GROUP: QueueGroup = ORDERS_SERVICE;
        const DEADLINE: Duration = Duration::from_millis(1);

        fn on_message(
            &self,
            _: ExpirationComplete,
            delivery: Delivery<'_>,
        ) -> impl Future<Output = Result<Settled, Failure>> + Send {
            assert!(!matches!(self, Self::PanicsBeforeItsFuture), "too early");
            async move {
                match self {
                    Self::Acks | Self::PanicsBeforeItsFuture => Ok(delivery.ack()),
                    Self::Panics => panic!("attempt {}", delivery.metadata().attempt()),
                    Self::PanicsWhenStopped => {
                        let _bomb = Bomb;
                        std::future::pending().await
                    }
                    Self::Hangs => std::future::pending().await,
                    Self::Swaps(earlier) => {
                        let settled = earlier.lock().unwrap().replace(delivery.ack());
                        settled.ok_or_else(|| Failure::retry("nothing to swap with"))
                    }
                }
            }
        }
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("stopped")
        }
    }

    fn incoming() -> Incoming {
        let event = ExpirationComplete {
            order_id: OrderId::new(),
        };
        let outgoing = Outgoing::encode(&event, &Headers::new()).unwrap();
        let position = Position {
            stream: "EXPIRATIONS".to_owned(),
            sequence: 1,
            stored_at: Timestamp::now(),
        };
        let channel = "expiration:complete";
        let (key, headers) = (event.key(), outgoing.headers);
        Incoming::read(channel, key, position, 1, headers, outgoing.payload)
    }

    async fn verdict_of(listener: Scripted) -> Verdict {
        handle(&listener, &incoming()).await
    }

    #[tokio::test]
    async fn listener_decides() {
        let verdict = verdict_of(Scripted::Acks).await;
        assert!(matches!(verdict, Verdict::Decided(Decision::Ack(_))));
    }

    #[tokio::test]
    async fn panic_is_caught_wherever_it_happens() {
        for (listener, expected) in [
            (Scripted::Panics, "attempt 1"),
            (Scripted::PanicsBeforeItsFuture, "too early"),
            (Scripted::PanicsWhenStopped, "stopped"),
        ] {
            let verdict = verdict_of(listener).await;
            assert!(
                matches!(&verdict, Verdict::Panicked(message) if message == expected),
                "{verdict:?}"
            );
        }
    }

    #[tokio::test]
    async fn listener_that_outlives_its_deadline_is_stopped() {
        let verdict = verdict_of(Scripted::Hangs).await;
        assert!(matches!(verdict, Verdict::TimedOut(Scripted::DEADLINE)));
    }

    #[tokio::test]
    async fn settlement_of_another_message_is_not_taken() {
        let listener = Scripted::Swaps(Mutex::new(None));

        let first = handle(&listener, &incoming()).await;
        let second = handle(&listener, &incoming()).await;

        assert!(matches!(first, Verdict::Failed(_)), "{first:?}");
        assert!(matches!(second, Verdict::ForeignSettlement), "{second:?}");
    }

    #[tokio::test]
    async fn message_that_is_no_event_never_reaches_the_listener() {
        let Incoming { metadata, .. } = incoming();
        let garbage = Incoming::read(
            metadata.channel,
            metadata.key.clone(),
            metadata.position.clone(),
            1,
            metadata.headers.clone(),
            "{".into(),
        );
        let verdict = handle(&Scripted::Panics, &garbage).await;
        assert!(matches!(verdict, Verdict::Undecodable(_)), "{verdict:?}");
    }
}
