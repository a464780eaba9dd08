use std::fmt;

/// A number of things: `1 order`, `2 orders`, `3 outboxes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted(pub(crate) usize, pub(crate) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        let ending = match number {
            1 => "",
            _ if noun.ends_with('x') => "es",
            _ => "s",
        };
        write!(f, "{number} {noun}{ending}")
    }
}

/// Several of them, without those of which there are none: `1 order, 3 outboxes`.
pub(crate) fn counted(all: impl IntoIterator<Item = Counted>) -> String {
    let some: Vec<_> = all
        .into_iter()
        .filter(|Counted(number, _)| *number > 0)
        .map(|one| one.to_string())
        .collect();
    some.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_several_are_several() {
        assert_eq!(Counted(1, "order").to_string(), "1 order");
        assert_eq!(Counted(0, "order").to_string(), "0 orders");
        assert_eq!(Counted(3, "outbox").to_string(), "3 outboxes");
    }

    #[test]
    fn what_there_is_none_of_is_left_out() {
        let all = [
            Counted(2, "contest"),
            Counted(0, "decline"),
            Counted(1, "refund"),
        ];
        assert_eq!(counted(all), "2 contests, 1 refund");
    }
}
