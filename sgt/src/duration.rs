use std::time::Duration;

use jiff::SignedDuration;

/// Reads `500ms`, `5s`, `15m` or `1h 30m`: longer than nothing.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let example = "expected for example 5s, 15m or 1h";
    let signed: SignedDuration = text.parse().map_err(|err| format!("{err}; {example}"))?;
    Duration::try_from(signed)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("must be longer than nothing; {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Duration>) {
        assert_eq!(parse(text).ok(), expected, "{text}");
    }

    #[test]
    fn duration_has_a_unit_and_is_longer_than_nothing() {
        check("500ms", Some(Duration::from_millis(500)));
        check("5s", Some(Duration::from_secs(5)));
        check("15m", Some(Duration::from_mins(15)));
        check("1h30m", Some(Duration::from_mins(90)));
        check("5", None);
        check("0s", None);
        check("-5s", None);
        check("", None);
    }
}
