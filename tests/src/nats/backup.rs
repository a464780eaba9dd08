use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::TestNats;

/// A stream with its consumers, as it was at a moment.
#[derive(Debug, Clone)]
pub struct Backup {
    stream: String,
    described: Value,
    chunks: Vec<Bytes>,
}

impl TestNats {
    /// Saves a stream and its consumers, as an operator's tool does.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn back_up(&self, stream: &str) -> Backup {
        let nats = self.client.nats();
        let inbox = nats.new_inbox();
        let mut arriving = nats.subscribe(inbox.clone()).await.unwrap();
        let wish = json!({ "deliver_subject": inbox, "no_consumers": false });
        let described = self.tell(&format!("STREAM.SNAPSHOT.{stream}"), &wish).await;
        let mut chunks = Vec::new();
        while let Some(chunk) = arriving.next().await {
            if chunk.payload.is_empty() {
                break;
            }
            chunks.push(chunk.payload);
            if let Some(reply) = chunk.reply {
                nats.publish(reply, Bytes::new()).await.unwrap();
            }
        }
        Backup {
            stream: stream.to_owned(),
            described,
            chunks,
        }
    }

    /// Puts a stream back as it was when it was saved. What has been stored since is gone.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn restore(&self, backup: &Backup) {
        let Backup {
            stream,
            described,
            chunks,
        } = backup;
        self.delete_stream(stream).await;
        let wish = json!({ "config": described["config"], "state": described["state"] });
        let place = self.tell(&format!("STREAM.RESTORE.{stream}"), &wish).await;
        let place = place["deliver_subject"].as_str().unwrap().to_owned();
        let nats = self.client.nats();
        for chunk in chunks {
            nats.request(place.clone(), chunk.clone()).await.unwrap();
        }
        let restored = nats.request(place, Bytes::new()).await.unwrap();
        let restored: Value = serde_json::from_slice(&restored.payload).unwrap();
        assert!(restored.get("error").is_none(), "{restored}");
    }
}
