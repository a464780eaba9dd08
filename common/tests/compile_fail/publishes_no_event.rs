//! A payload that is no event.

use common::JetStreamPublisher;

pub fn publish(publisher: &JetStreamPublisher, json: &String) {
    let _published = publisher.publish(json);
}

fn main() {}
