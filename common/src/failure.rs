use std::error::Error;
use std::fmt;

use crate::error::{BoxError, Chain};

/// Why an event was not handled, and what that means for it.
///
/// Every error becomes a [`retry`](Self::retry) by `?`, except those by which a database says that
/// it is out of reach, locked or full: they become [`unavailable`](Self::unavailable). A rejection
/// is always written out.
///
/// Not itself an [`Error`], so that `?` cannot wrap one failure in another.
#[must_use = "a failure decides what becomes of its event only by being returned"]
pub struct Failure {
    kind: FailureKind,
    source: BoxError,
}

/// What a failure means for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The event may succeed later. Counts as an attempt.
    Retry,
    /// The event never will succeed. It goes to the dead letters.
    Reject,
    /// The event is not to blame: something that every event needs is away. No attempt is counted,
    /// and the runner waits until it is over.
    Unavailable,
}

impl Failure {
    /// The event may succeed later.
    pub fn retry(source: impl Into<BoxError>) -> Self {
        Self::of(FailureKind::Retry, source)
    }

    /// The event can never succeed.
    pub fn reject(source: impl Into<BoxError>) -> Self {
        Self::of(FailureKind::Reject, source)
    }

    /// Something that every event needs is away.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::of(FailureKind::Unavailable, source)
    }

    /// What it means for the event.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The reason, with its sources.
    #[must_use]
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }

    #[cfg(feature = "http")]
    pub(crate) fn into_source(self) -> BoxError {
        self.source
    }

    fn of(kind: FailureKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(source: E) -> Self {
        let kind = kind_of(&source);
        Self::of(kind, source)
    }
}

/// A failure of the database says so itself, wherever it stands among the sources.
#[cfg(feature = "sql")]
fn kind_of(err: &(dyn Error + 'static)) -> FailureKind {
    let mut next = Some(err);
    while let Some(err) = next {
        if err
            .downcast_ref::<sqlx::Error>()
            .is_some_and(crate::sql::is_unavailable)
        {
            return FailureKind::Unavailable;
        }
        next = err.source();
    }
    FailureKind::Retry
}

#[cfg(not(feature = "sql"))]
fn kind_of(_: &(dyn Error + 'static)) -> FailureKind {
    FailureKind::Retry
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, Chain(&*self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_mark_means_retry() {
        fn fails() -> Result<(), Failure> {
            Err(std::io::Error::other("no"))?;
            Ok(())
        }
        assert_eq!(fails().unwrap_err().kind(), FailureKind::Retry);
    }
}
