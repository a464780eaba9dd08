use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::SignedDuration;

/// The shortest time that anything can be given: what keeps time in databases counts milliseconds.
const A_MOMENT: Duration = Duration::from_millis(1);

/// Why a text is no duration that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDuration {
    /// It is no duration.
    #[error("not a duration, such as 15m, 2s or 1h30m")]
    Malformed,
    /// It is below nothing.
    #[error("a duration cannot be negative")]
    Negative,
    /// It is nothing, or nearly.
    #[error("must be 1ms or more")]
    TooShort,
    /// It is longer than whatever waits for it.
    #[error("must be {longest:?} or less")]
    TooLong {
        /// The longest that is possible.
        longest: Duration,
    },
}

/// Why a text is no number of servers that store a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("streams are stored by 1 or 3 servers")]
pub struct InvalidReplicas;

/// Reads how long something takes, from a flag or a variable: `0s`, `500ms`, `15m`, `1h30m`.
///
/// ```
/// # use {common::http::parse_duration, std::time::Duration};
/// assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
/// assert!(parse_duration("5").is_err(), "a number needs its unit");
/// ```
///
/// # Errors
///
/// [`InvalidDuration`] if it is none, or is negative.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let signed: SignedDuration = text.parse().map_err(|_| InvalidDuration::Malformed)?;
    Duration::try_from(signed).map_err(|_| InvalidDuration::Negative)
}

/// Reads how long something may take: as [`parse_duration`], and a millisecond or more.
///
/// # Errors
///
/// [`InvalidDuration`] if it is none, or is too short.
pub fn parse_time_limit(text: &str) -> Result<Duration, InvalidDuration> {
    let limit = parse_duration(text)?;
    if limit < A_MOMENT {
        return Err(InvalidDuration::TooShort);
    }
    Ok(limit)
}

/// Reads how many servers store each stream: 1 or 3.
///
/// # Errors
///
/// [`InvalidReplicas`] if it is neither.
pub fn parse_replicas(text: &str) -> Result<NonZeroUsize, InvalidReplicas> {
    let number: NonZeroUsize = text.parse().map_err(|_| InvalidReplicas)?;
    matches!(number.get(), 1 | 3)
        .then_some(number)
        .ok_or(InvalidReplicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_a_unit_and_is_not_negative() {
        #[track_caller]
        fn check(text: &str, expected: Result<Duration, InvalidDuration>) {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
        check("500ms", Ok(Duration::from_millis(500)));
        check("5s", Ok(Duration::from_secs(5)));
        check("1h 30m", Ok(Duration::from_mins(90)));
        check("0s", Ok(Duration::ZERO));
        check("5", Err(InvalidDuration::Malformed));
        check("", Err(InvalidDuration::Malformed));
        check("soon", Err(InvalidDuration::Malformed));
        check("-5s", Err(InvalidDuration::Negative));
    }

    #[test]
    fn time_limit_is_a_moment_or_more() {
        #[track_caller]
        fn check(text: &str, expected: Result<Duration, InvalidDuration>) {
            assert_eq!(parse_time_limit(text), expected, "{text:?}");
        }
        check("1ms", Ok(A_MOMENT));
        check("999us", Err(InvalidDuration::TooShort));
        check("0s", Err(InvalidDuration::TooShort));
        check("-1s", Err(InvalidDuration::Negative));
    }

    #[test]
    fn streams_are_stored_once_or_thrice() {
        #[track_caller]
        fn check(text: &str, expected: Option<usize>) {
            let read = parse_replicas(text).ok();
            assert_eq!(read.map(NonZeroUsize::get), expected, "{text:?}");
        }
        check("1", Some(1));
        check("3", Some(3));
        check("0", None);
        check("2", None);
        check("5", None);
        check("three", None);
    }
}
