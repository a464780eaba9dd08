//! A failure that is not returned, and a transaction that nobody commits.

#![deny(unused_must_use)]

use common::{Database, Failure};

pub fn refuse() {
    Failure::reject("price is zero");
}

pub async fn begin(database: &Database) {
    database.begin().await.unwrap();
}

fn main() {}
