use super::kind::Kind;
use super::letter::Letter;
use crate::dead_letter;
use crate::topology::given_up;

/// Which dead letters are meant. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The queue group that failed.
    pub group: Option<String>,
    /// The channel.
    pub channel: Option<String>,
    /// The aggregate's id.
    pub key: Option<String>,
    /// Why it is dead.
    pub kind: Option<Kind>,
}

impl Filter {
    /// Whether the letter is meant.
    #[must_use]
    pub fn takes(&self, letter: &Letter) -> bool {
        let Self {
            group,
            channel,
            key,
            kind,
        } = self;
        group.as_ref().is_none_or(|group| *group == letter.group)
            && (channel.is_none() || *channel == letter.channel)
            && (key.is_none() || *key == letter.key)
            && (kind.is_none() || *kind == letter.kind)
    }

    /// Where the server looks for such letters. It may find more than are meant.
    pub(super) fn subjects(&self) -> Vec<String> {
        let group = token(self.group.as_deref());
        let channel = token(self.channel.as_deref());
        let key = token(self.key.as_deref());
        let letters = dead_letter::subject(group, channel, key);
        match self.kind {
            None => vec![letters, given_up("*", group)],
            Some(Kind::GivenUp) => vec![given_up("*", group)],
            Some(_) => vec![letters],
        }
    }
}

/// The text as one token of a subject; `*` if it is none, for then no letter has it.
fn token(text: Option<&str>) -> &str {
    let plain = |text: &&str| {
        let reserved = |c: char| c.is_whitespace() || c.is_control() || "*>.".contains(c);
        !text.is_empty() && !text.contains(reserved)
    };
    text.filter(plain).unwrap_or("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_looks_no_further_than_it_has_to() {
        let filter = Filter {
            group: Some("orders-service".to_owned()),
            channel: Some("ticket:created".to_owned()),
            key: Some("a.b".to_owned()),
            kind: Some(Kind::Rejected),
        };
        assert_eq!(
            filter.subjects(),
            ["dead-letter.orders-service.ticket:created.*"]
        );
        assert_eq!(Filter::default().subjects()[0], "dead-letter.*.*.*");
        assert_eq!(Filter::default().subjects().len(), 2);
    }
}
