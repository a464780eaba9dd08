use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{Delivery, Event, Failure, Listener, Metadata, QueueGroup, Settled};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::notes::{ARCHIVE, BANK, READERS};
use crate::until;

/// A queue group as a type, for a listener's group is in its type.
pub trait Member: Send + Sync + 'static {
    /// The group.
    const GROUP: QueueGroup;
    /// How long a call may take.
    const DEADLINE: Duration = Duration::from_mins(5);
}

/// Of the group [`READERS`].
#[derive(Debug, Clone, Copy)]
pub struct Reader;

impl Member for Reader {
    const GROUP: QueueGroup = READERS;
}

/// Of the group [`READERS`], and stopped after a tenth of a second.
#[derive(Debug, Clone, Copy)]
pub struct HastyReader;

impl Member for HastyReader {
    const GROUP: QueueGroup = READERS;
    const DEADLINE: Duration = Duration::from_millis(100);
}

/// Of the group [`ARCHIVE`].
#[derive(Debug, Clone, Copy)]
pub struct Archivist;

impl Member for Archivist {
    const GROUP: QueueGroup = ARCHIVE;
}

/// Of the group [`BANK`].
#[derive(Debug, Clone, Copy)]
pub struct Banker;

impl Member for Banker {
    const GROUP: QueueGroup = BANK;
}

/// What a listener does with an event.
#[derive(Debug, Clone)]
pub enum Act {
    /// Is content.
    Ack,
    /// Fails: the event may succeed later.
    Fail(&'static str),
    /// Asks for the event again, after this time.
    RetryAfter(Duration),
    /// Never wants to see it again.
    Reject(&'static str),
    /// Is not to blame: something is away.
    Unavailable(&'static str),
    /// Panics.
    Panic(&'static str),
    /// Never comes back.
    Hang,
    /// Is content once the gate is open.
    AckBehind(Gate),
}

/// What holds handlers up until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn shut() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everybody pass.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        // The sender is here.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A call of a handler.
#[derive(Debug, Clone)]
pub struct Call<E> {
    /// The event.
    pub event: E,
    /// What came with it.
    pub metadata: Metadata,
    /// When it began.
    pub began: Instant,
    /// When it ended. `None`: it has not, or was stopped.
    pub ended: Option<Instant>,
}

type Script<E> = dyn Fn(&E, &Metadata) -> Act + Send + Sync;

/// A listener that does what it is told, and writes down what it was given. Clones share what is written.
pub struct Scripted<E, M> {
    script: Arc<Script<E>>,
    calls: Arc<Mutex<Vec<Call<E>>>>,
    member: PhantomData<fn() -> M>,
}

impl<E, M> Clone for Scripted<E, M> {
    fn clone(&self) -> Self {
        Self {
            script: Arc::clone(&self.script),
            calls: Arc::clone(&self.calls),
            member: PhantomData,
        }
    }
}

impl<E, M> Debug for Scripted<E, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl<E: Event + Clone + Debug, M: Member> Scripted<E, M> {
    /// Is content with everything.
    #[must_use]
    pub fn acks() -> Self {
        Self::new(|_, _| Act::Ack)
    }

    /// Does the same with everything.
    #[must_use]
    pub fn always(act: Act) -> Self {
        Self::new(move |_, _| act.clone())
    }

    /// Fails at the first so many attempts at each event.
    #[must_use]
    pub fn fails_first(attempts: u32) -> Self {
        Self::new(move |_, metadata| {
            if metadata.attempt() <= attempts {
                Act::Fail("not yet")
            } else {
                Act::Ack
            }
        })
    }

    /// Does what the script says.
    #[must_use]
    pub fn new(script: impl Fn(&E, &Metadata) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            calls: Arc::default(),
            member: PhantomData,
        }
    }

    /// Another listener that does the same and writes to a book of its own: a replica to be told from this one.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            calls: Arc::default(),
            ..self.clone()
        }
    }

    /// Every call so far, in the order of their beginnings.
    #[must_use]
    pub fn calls(&self) -> Vec<Call<E>> {
        self.book().clone()
    }

    /// The events of all calls so far, in the order of their beginnings.
    #[must_use]
    pub fn events(&self) -> Vec<E> {
        self.book().iter().map(|call| call.event.clone()).collect()
    }

    /// Waits until there are so many calls or more, and yields them.
    ///
    /// # Panics
    ///
    /// If there are never so many.
    pub async fn until_called(&self, times: usize) -> Vec<Call<E>> {
        until(
            &format!("the handler was called {times} times"),
            async || {
                let calls = self.calls();
                if calls.len() >= times {
                    Ok(calls)
                } else {
                    Err(calls)
                }
            },
        )
        .await
    }

    /// Waits until so many calls or more have ended, and yields all.
    ///
    /// # Panics
    ///
    /// If never so many have.
    pub async fn until_done(&self, times: usize) -> Vec<Call<E>> {
        until(
            &format!("the handler came back {times} times"),
            async || {
                let calls = self.calls();
                let done = calls.iter().filter(|call| call.ended.is_some()).count();
                if done >= times { Ok(calls) } else { Err(done) }
            },
        )
        .await
    }

    fn book(&self) -> MutexGuard<'_, Vec<Call<E>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn act(&self, act: Act, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        match act {
            Act::Ack => Ok(delivery.ack()),
            Act::Fail(why) => Err(Failure::retry(why)),
            Act::RetryAfter(delay) => Ok(delivery.retry_after(delay)),
            Act::Reject(why) => Ok(delivery.reject(why)),
            Act::Unavailable(why) => Err(Failure::unavailable(why)),
            Act::Panic(why) => panic!("{why}"),
            Act::Hang => std::future::pending().await,
            Act::AckBehind(gate) => {
                gate.pass().await;
                Ok(delivery.ack())
            }
        }
    }
}

impl<E: Event + Clone + Debug, M: Member> Listener for Scripted<E, M> {
    type Event = E;

    const QUEUE_GROUP: QueueGroup = M::GROUP;
    const DEADLINE: Duration = M::DEADLINE;

    async fn on_message(&self, event: E, delivery: Delivery<'_>) -> Result<Settled, Failure> {
        let metadata = delivery.metadata();
        let act = (self.script)(&event, metadata);
        let call = {
            let mut book = self.book();
            book.push(Call {
                event,
                metadata: metadata.clone(),
                began: Instant::now(),
                ended: None,
            });
            book.len() - 1
        };
        let settled = self.act(act, delivery).await;
        self.book()[call].ended = Some(Instant::now());
        settled
    }
}
