//! What is declared, for documents and for those who set up a server by other means.

use std::num::NonZeroUsize;

use serde_json::Value;

use super::config::Declared;
use super::{StreamPlan, Topology};
use crate::dead_letter;
use crate::name::{QueueGroup, StreamName};

impl Topology {
    /// The configuration that a stream is provisioned with on a single server, in the words of the
    /// server's API: times are in nanoseconds. `None`: no channel of the lists is on it.
    ///
    /// ```
    /// use common::{Subjects, TICKETS, Topology};
    ///
    /// let config = Topology::of::<Subjects>().stream_config(TICKETS).unwrap();
    /// assert_eq!(config["retention"], "limits");
    /// ```
    #[must_use]
    pub fn stream_config(&self, stream: StreamName) -> Option<Value> {
        let plan: &StreamPlan = self.streams.get(stream.as_str())?;
        Some(Declared::stream(plan, NonZeroUsize::MIN).config.into())
    }

    /// The configuration that a queue group's durable consumer on a stream is provisioned with, in the
    /// words of the server's API: times are in nanoseconds. `None`: the group reads nothing of the stream.
    #[must_use]
    pub fn consumer_config(&self, stream: StreamName, group: QueueGroup) -> Option<Value> {
        let plan = self.consumers.get(&(stream.as_str(), group.as_str()))?;
        Some(Declared::consumer(plan).config.into())
    }

    /// The configuration that the stream of dead letters is provisioned with on a single server, in the
    /// words of the server's API.
    #[must_use]
    pub fn dead_letters_config(&self) -> Value {
        Declared::dead_letters(self.consumers.values(), NonZeroUsize::MIN)
            .config
            .into()
    }

    /// Where an event is stored that a queue group has given up:
    /// `dead-letter.orders-service.ticket:created.0198…`.
    #[must_use]
    pub fn dead_letter_subject(group: QueueGroup, channel: &str, key: &str) -> String {
        dead_letter::subject(group.as_str(), channel, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EXPIRATIONS, ORDERS_SERVICE, PAYMENTS_SERVICE, Subjects};

    #[test]
    fn what_is_described_is_what_is_provisioned_and_nothing_else() {
        let topology = Topology::of::<Subjects>();

        let stream = topology.stream_config(EXPIRATIONS).unwrap();
        assert_eq!(stream["allow_msg_schedules"], true);
        let consumer = topology.consumer_config(EXPIRATIONS, ORDERS_SERVICE);
        assert_eq!(consumer.unwrap()["durable_name"], "orders-service");
        let none = topology.consumer_config(EXPIRATIONS, PAYMENTS_SERVICE);
        assert_eq!(none, None);
        assert_eq!(topology.stream_config(StreamName::new("OTHERS")), None);

        let subject = Topology::dead_letter_subject(ORDERS_SERVICE, "ticket:created", "k");
        let taken = topology.dead_letters_config()["subjects"][0].clone();
        assert_eq!(taken, "dead-letter.>");
        assert!(subject.starts_with("dead-letter."), "{subject}");
    }
}
