//! Who comes to a server that looks at its guests: certificates, keys and credentials.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{
    Client, ClientConfig, ConnectError, JetStreamPublisher, Runner, Topology, build_client,
};
use integration_tests::notes::{Due, Reminders};
use integration_tests::{
    Act, Certificates, Operator, Reader, Replica, Scripted, Server, until, until_within,
};
use nkeys::KeyPair;
use tempfile::TempDir;

const LONG: Duration = Duration::from_hours(1);

/// Connects, makes a stream, publishes, and hears what was published.
async fn lives(config: &ClientConfig) {
    let client = build_client(config).await.unwrap();
    let (replica, listener) = listens(&client).await;
    tell(&client, "breakfast").await;
    let calls = listener.until_called(1).await;
    assert_eq!(calls[0].event, Due::of("breakfast"));
    replica.stop().await;
}

async fn listens(client: &Client) -> (Replica, Scripted<Due, Reader>) {
    let topology = Topology::of::<Reminders>();
    topology.provision(client, NonZeroUsize::MIN).await.unwrap();
    let listener = Scripted::<Due, Reader>::always(Act::Ack);
    let replica = Replica::begin(client, |runner: Runner| runner.listen(listener.clone()));
    replica.until_ready().await;
    (replica, listener)
}

async fn tell(client: &Client, what: &str) {
    let publisher = JetStreamPublisher::new(client);
    publisher.publish(&Due::of(what)).await.unwrap();
}

/// Why nobody gets in with this, and soon.
async fn refused(config: &ClientConfig) -> String {
    let began = Instant::now();
    let err = build_client(config).await.unwrap_err();
    // One attempt at a server, of at most five seconds.
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert!(
        matches!(
            err,
            ConnectError::Refused { .. } | ConnectError::Unreachable { .. }
        ),
        "{err:?}"
    );
    err.to_string()
}

#[tokio::test]
async fn certificates_of_a_private_authority_let_in_and_no_others() {
    let (ours, strangers) = (Certificates::new(), Certificates::new());
    let server = Server::start_with(ours.config(), &ours.files()).await;
    let config = || ClientConfig::new("guest").url(server.url());
    let (certificate, key) = ours.client();

    let known = config()
        .root_certificates(ours.authority())
        .client_certificate(&certificate, &key);
    lives(&known).await;

    let without = config().root_certificates(ours.authority());
    let said = refused(&without).await;
    assert!(said.contains("no NATS server answers at"), "{said}");
    let (foreign, foreign_key) = strangers.client();
    let foreigner = config()
        .root_certificates(ours.authority())
        .client_certificate(foreign, foreign_key);
    refused(&foreigner).await;
    // A server that another authority speaks for is not ours.
    let deceived = config()
        .root_certificates(strangers.authority())
        .client_certificate(certificate, key);
    let said = refused(&deceived).await;
    assert!(said.contains("invalid peer certificate"), "{said}");
}

#[tokio::test]
async fn server_without_tls_is_refused_by_whoever_asks_for_it() {
    let server = Server::start("").await;
    let ours = Certificates::new();
    let config = ClientConfig::new("guest").url(server.url());

    refused(&config.root_certificates(ours.authority())).await;
}

#[tokio::test]
async fn key_lets_in_and_another_does_not() {
    let folder = TempDir::new().unwrap();
    let keys = KeyPair::new_user();
    let nkey = keys.public_key();
    let server = Server::start(&format!(
        "authorization {{ users: [ {{ nkey: {nkey} }} ] }}\n"
    ))
    .await;
    let config = |keys: &KeyPair| {
        let path = folder.path().join(keys.public_key());
        fs::write(&path, keys.seed().unwrap()).unwrap();
        ClientConfig::new("guest").url(server.url()).nkey_file(path)
    };

    lives(&config(&keys)).await;

    let said = refused(&config(&KeyPair::new_user())).await;
    assert!(said.contains("refuses the credentials"), "{said}");
    let nobody = ClientConfig::new("guest").url(server.url());
    assert!(refused(&nobody).await.contains("refuses the credentials"));
}

#[tokio::test]
async fn credentials_file_lets_in_and_that_of_another_operator_does_not() {
    let folder = TempDir::new().unwrap();
    let operator = Operator::new();
    let server = Server::start(&operator.config()).await;
    let config = |credentials: &str| {
        let path = folder.path().join("guest.creds");
        fs::write(&path, credentials).unwrap();
        ClientConfig::new("guest")
            .url(server.url())
            .credentials_file(path)
    };

    lives(&config(&operator.credentials(LONG))).await;

    let said = refused(&config(&Operator::new().credentials(LONG))).await;
    assert!(said.contains("refuses the credentials"), "{said}");
}

/// A file replaced at once, as whoever rotates credentials does it.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

// Guard: `prove` reads the file at each connection.
#[tokio::test]
async fn credentials_that_are_replaced_before_they_expire_are_found_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("guest.creds");
    let operator = Operator::new();
    let server = Server::start(&operator.config()).await;
    let short = Duration::from_secs(4);
    let old = operator.credentials(short);
    replace(&path, &old);
    let config = ClientConfig::new("guest")
        .url(server.url())
        .credentials_file(&path);
    let client = build_client(&config).await.unwrap();
    let (replica, listener) = listens(&client).await;

    replace(&path, &operator.credentials(LONG));
    // The server ends the connection when the old ones are over; what is published meanwhile is published.
    let expired = Instant::now() + short + Duration::from_secs(2);
    let mut told = Vec::new();
    while Instant::now() < expired {
        let what = format!("r{}", told.len());
        tell(&client, &what).await;
        told.push(what);
    }

    let old_path = folder.path().join("old.creds");
    replace(&old_path, &old);
    let late = ClientConfig::new("guest")
        .url(server.url())
        .credentials_file(old_path);
    assert!(
        refused(&late).await.contains("refuses the credentials"),
        "they are over"
    );
    until("everything is heard", async || {
        let mut heard: Vec<_> = listener
            .events()
            .into_iter()
            .map(|due| due.reminder)
            .collect();
        heard.sort();
        heard.dedup();
        if heard.len() == told.len() {
            Ok(())
        } else {
            Err(heard.len())
        }
    })
    .await;
    replica.until_ready().await;
    replica.stop().await;
}

// Guard: `Signals::note` tells a refusal from a connection that is lost.
#[tokio::test]
async fn credentials_that_are_over_are_said_until_new_ones_are_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("guest.creds");
    let operator = Operator::new();
    let server = Server::start(&operator.config()).await;
    replace(&path, &operator.credentials(Duration::from_secs(3)));
    let config = ClientConfig::new("guest")
        .url(server.url())
        .credentials_file(&path);
    let client = build_client(&config).await.unwrap();
    let (replica, listener) = listens(&client).await;

    replica
        .until_not_ready("server refuses the credentials")
        .await;
    let operator_client = {
        let path = folder.path().join("operator.creds");
        replace(&path, &operator.credentials(LONG));
        let config = ClientConfig::new("operator").url(server.url());
        build_client(&config.credentials_file(path)).await.unwrap()
    };
    tell(&operator_client, "lunch").await;
    replace(&path, &operator.credentials(LONG));

    until_within(
        Duration::from_secs(30),
        "it hears again",
        async || match &listener.events()[..] {
            [lunch] if *lunch == Due::of("lunch") => Ok(()),
            other => Err(other.to_vec()),
        },
    )
    .await;
    replica.until_ready().await;
    replica.stop().await;
}
