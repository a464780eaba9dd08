use std::time::Duration;

use common::{Client, QueueGroup, StreamName};
use serde_json::{Value, json};

use super::TestNats;
use crate::{until, until_within};

/// How long a server that was away may take to get what it has missed, under load.
const REPLICATED_WITHIN: Duration = Duration::from_mins(1);

/// Who does what among the servers of a cluster.
impl TestNats {
    /// The name of the server that leads a stream.
    ///
    /// # Panics
    ///
    /// If none does.
    pub async fn leader(&self, stream: StreamName) -> String {
        self.leader_of(&format!("STREAM.INFO.{stream}")).await
    }

    /// The name of the server that leads the consumer of a group.
    ///
    /// # Panics
    ///
    /// If none does.
    pub async fn consumer_leader(&self, stream: StreamName, group: QueueGroup) -> String {
        self.leader_of(&format!("CONSUMER.INFO.{stream}.{group}"))
            .await
    }

    /// Lets a server lead a stream.
    ///
    /// # Panics
    ///
    /// If it never does.
    pub async fn let_lead(&self, stream: StreamName, server: &str) {
        let step_down = format!("STREAM.LEADER.STEPDOWN.{stream}");
        let preferred = json!({ "placement": { "preferred": server } });
        until(&format!("{server} leads {stream}"), async || {
            let leader = self.leader(stream).await;
            if leader == server {
                return Ok(());
            }
            // Refused while somebody is just being elected.
            let answer = self.ask(&step_down, &preferred).await;
            Err((leader, answer))
        })
        .await;
    }

    async fn leader_of(&self, info: &str) -> String {
        until(&format!("there is a leader in {info}"), async || {
            let info = self.try_ask(info).await?;
            let leader = info["cluster"]["leader"].as_str();
            leader.map(str::to_owned).ok_or(info.to_string())
        })
        .await
    }

    /// Waits until every server has all of a stream and of the consumer of a group on it.
    ///
    /// # Panics
    ///
    /// If one never has.
    pub async fn until_replicated(&self, stream: StreamName, group: QueueGroup) {
        for info in [
            format!("STREAM.INFO.{stream}"),
            format!("CONSUMER.INFO.{stream}.{group}"),
        ] {
            let what = format!("everybody has {info}");
            until_within(REPLICATED_WITHIN, &what, async || {
                let info = self.try_ask(&info).await?;
                let replicas = info["cluster"]["replicas"].as_array();
                let current = |replica: &Value| replica["current"] == json!(true);
                match replicas {
                    Some(replicas) if replicas.len() == 2 && replicas.iter().all(current) => Ok(()),
                    _ => Err(info["cluster"].to_string()),
                }
            })
            .await;
        }
    }

    /// As [`ask`](Self::ask), where there may be no answer.
    async fn try_ask(&self, subject: &str) -> Result<Value, String> {
        let nothing = json!({});
        let answer = self.jetstream.request(subject.to_owned(), &nothing);
        answer.await.map_err(|err| err.to_string())
    }
}

/// The name of the server that a client is connected to.
#[must_use]
pub fn server_of(client: &Client) -> String {
    client.nats().server_info().server_name.clone()
}
