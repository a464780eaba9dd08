#![allow(
    dead_code,
    unused_variables,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "stand-in until the ledger lands"
)]
use super::Database;
use crate::headers::Headers;
use crate::metadata::Position;
use crate::{Key, QueueGroup, StreamName, Version};
use bytes::Bytes;
use jiff::Timestamp;
use std::time::Duration;
type R<T> = Result<T, sqlx::Error>;
#[derive(Debug)]
pub(crate) struct GroupLedger;
#[derive(Debug)]
pub(crate) struct HeldEvent {
    pub(crate) channel: String,
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    pub(crate) position: Position,
    pub(crate) attempts: u32,
}
impl GroupLedger {
    pub(crate) fn new(_: &Database, _: QueueGroup, _: StreamName) -> Self {
        Self
    }
    pub(crate) async fn begin_attempt(&self, p: &Position) -> R<u32> {
        Ok(1)
    }
    pub(crate) async fn record_failure(&self, p: &Position) -> R<u32> {
        Ok(1)
    }
    pub(crate) async fn undo_attempt(&self, p: &Position) -> R<()> {
        Ok(())
    }
    pub(crate) async fn forget_attempts(&self, p: &Position) -> R<()> {
        Ok(())
    }
    pub(crate) async fn next_held(&self, k: &Key) -> R<Option<HeldEvent>> {
        Ok(None)
    }
    pub(crate) async fn due_held(&self, n: i64) -> R<Vec<HeldEvent>> {
        Ok(vec![])
    }
    pub(crate) async fn postpone_held(&self, h: &HeldEvent, n: u32, t: Timestamp) -> R<()> {
        Ok(())
    }
    pub(crate) async fn drop_held(&self, h: &HeldEvent) -> R<()> {
        Ok(())
    }
    pub(crate) async fn orphans(&self, d: Duration) -> R<Vec<HeldEvent>> {
        Ok(vec![])
    }
    pub(crate) async fn rebase(&self, h: &HeldEvent) -> R<()> {
        Ok(())
    }
    pub(crate) async fn clean(&self, d: Duration) -> R<()> {
        Ok(())
    }
}
