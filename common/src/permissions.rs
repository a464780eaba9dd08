use std::collections::BTreeSet;

use crate::client::inbox_prefix;
use crate::dead_letter;
use crate::name::QueueGroup;
use crate::subject_set::SubjectSet;
use crate::topology::{ConsumerPlan, DEAD_LETTERS, StreamPlan, Topology};

/// What a user of the NATS server must be allowed for what a list says of it, and no more. Derived, so that it
/// stays exact: a line of the list is the only place that says who speaks and who listens.
///
/// A service may bind to what is provisioned and not create it: it runs with `Provisioning::BindOnly`.
///
/// ```
/// use common::{Permissions, Subjects, TICKETS_SERVICE};
///
/// let permissions = Permissions::of::<Subjects>(TICKETS_SERVICE);
/// assert!(permissions.publish().contains(&"ticket:created.*".to_owned()));
/// assert!(!permissions.publish().contains(&"order:created.*".to_owned()));
/// assert_eq!(permissions.subscribe(), ["_INBOX_tickets-service.>"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    publish: BTreeSet<String>,
    subscribe: Vec<String>,
}

impl Permissions {
    /// Of a service whose client goes by its queue group's name: it publishes its channels, listens by its consumers and
    /// stores what it gives up.
    #[must_use]
    pub fn of<S: SubjectSet>(group: QueueGroup) -> Self {
        let topology = Topology::of::<S>().for_group(group);
        let mut publish = BTreeSet::new();
        for subject in S::ALL.iter().filter(|subject| subject.producer() == group) {
            publish.insert(format!("{subject}.*"));
            if subject.stream().takes_schedules() {
                publish.insert(format!("schedule.{subject}.*"));
            }
        }
        publish.insert(dead_letter::subject(group.as_str(), "*", "*"));
        publish.insert(api(format_args!("STREAM.INFO.{DEAD_LETTERS}")));
        for StreamPlan { name, .. } in topology.streams() {
            publish.insert(api(format_args!("STREAM.INFO.{name}")));
        }
        for ConsumerPlan { stream, .. } in topology.consumers() {
            publish.insert(api(format_args!("CONSUMER.INFO.{stream}.{group}")));
            publish.insert(api(format_args!("CONSUMER.MSG.NEXT.{stream}.{group}")));
            // How a message is found that kills whoever receives it, and whether a predecessor can still come.
            publish.insert(api(format_args!("STREAM.MSG.GET.{stream}")));
            // Both forms of an acknowledgement (ADR-15): a server may change over to the second, which has a domain
            // and an account before the stream.
            publish.insert(format!("$JS.ACK.{stream}.{group}.>"));
            publish.insert(format!("$JS.ACK.*.*.{stream}.{group}.>"));
        }
        Self {
            publish,
            subscribe: vec![inbox(group.as_str())],
        }
    }

    /// Of an operator whose client goes by this name: provisions, reads streams and consumers, and sees to dead
    /// letters. It publishes no event.
    #[must_use]
    pub fn of_operator<S: SubjectSet>(name: &str) -> Self {
        let topology = Topology::of::<S>();
        let mut publish = BTreeSet::new();
        let streams = topology.streams().map(|plan| plan.name.as_str());
        for stream in streams.chain([DEAD_LETTERS]) {
            for request in [
                "STREAM.CREATE.{}",
                "STREAM.INFO.{}",
                "STREAM.MSG.GET.{}",
                "STREAM.UPDATE.{}",
                // Who reads a stream lets the server name a consumer, or names one by chance.
                "CONSUMER.CREATE.{}",
                "CONSUMER.CREATE.{}.>",
                "CONSUMER.DELETE.{}.*",
                "CONSUMER.INFO.{}.*",
                "CONSUMER.LIST.{}",
                "CONSUMER.MSG.NEXT.{}.*",
                "CONSUMER.NAMES.{}",
            ] {
                publish.insert(format!("$JS.API.{}", request.replace("{}", stream)));
            }
        }
        publish.insert(api(format_args!("STREAM.MSG.DELETE.{DEAD_LETTERS}")));
        for ConsumerPlan {
            group, channels, ..
        } in topology.consumers()
        {
            for channel in channels {
                publish.insert(dead_letter::redrive_subject(group.as_str(), channel, "*"));
            }
        }
        Self {
            publish,
            subscribe: vec![inbox(name)],
        }
    }

    /// The subjects that the user may publish on.
    #[must_use]
    pub fn publish(&self) -> Vec<String> {
        self.publish.iter().cloned().collect()
    }

    /// The subjects that the user may subscribe to.
    #[must_use]
    pub fn subscribe(&self) -> &[String] {
        &self.subscribe
    }
}

/// Where a client of this name hears answers, and the messages that it has asked for.
fn inbox(name: &str) -> String {
    format!("{}.>", inbox_prefix(name))
}

fn api(request: std::fmt::Arguments<'_>) -> String {
    format!("$JS.API.{request}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ORDERS_SERVICE, Subjects, TICKETS_SERVICE};

    #[test]
    fn service_may_do_what_it_does_and_nothing_else() {
        let permissions = Permissions::of::<Subjects>(TICKETS_SERVICE);
        assert_eq!(
            permissions.publish(),
            [
                "$JS.ACK.*.*.ORDERS.tickets-service.>",
                "$JS.ACK.ORDERS.tickets-service.>",
                "$JS.API.CONSUMER.INFO.ORDERS.tickets-service",
                "$JS.API.CONSUMER.MSG.NEXT.ORDERS.tickets-service",
                "$JS.API.STREAM.INFO.DEAD_LETTERS",
                "$JS.API.STREAM.INFO.ORDERS",
                "$JS.API.STREAM.INFO.TICKETS",
                "$JS.API.STREAM.MSG.GET.ORDERS",
                "dead-letter.tickets-service.*.*",
                "ticket:created.*",
                "ticket:updated.*",
            ]
        );
        assert_eq!(permissions.subscribe(), ["_INBOX_tickets-service.>"]);
    }

    #[test]
    fn schedules_are_for_who_publishes_what_is_scheduled() {
        let publish = Permissions::of::<Subjects>(ORDERS_SERVICE).publish();
        let schedules: Vec<_> = publish
            .iter()
            .filter(|subject| subject.starts_with("schedule."))
            .collect();
        assert_eq!(schedules, ["schedule.expiration:complete.*"]);
    }

    #[test]
    fn operator_publishes_no_event_and_deletes_no_stream() {
        let publish = Permissions::of_operator::<Subjects>("sgt").publish();
        assert!(publish.contains(&"redrive.tickets-service.order:created.*".to_owned()));
        assert!(
            !publish
                .iter()
                .any(|subject| subject.contains("STREAM.DELETE"))
        );
        for subject in Subjects::ALL {
            assert!(!publish.contains(&format!("{subject}.*")));
        }
    }
}
