//! The generated documents, judged by others: AsyncAPI by its official meta-schema, the catalogue by a browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::testing::sample;
use common::{SubjectSet as _, Subjects};
use integration_tests::foreign::{chromium, finish, generated, node_packages};
use schemas::{PAGE, asyncapi, site};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn asyncapi_document_is_valid_by_the_official_meta_schema() {
    let Some(packages) = node_packages() else {
        return;
    };
    let specs = packages.join("node_modules/@asyncapi/specs/schemas");
    let read = |path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    let document = read(generated().join("asyncapi.json"));
    let version = document["asyncapi"].as_str().unwrap();
    let meta = jsonschema::draft7::options()
        .should_validate_formats(true)
        .build(&read(specs.join(format!("{version}.json"))))
        .unwrap();

    let errors: Vec<_> = meta
        .iter_errors(&document)
        .map(|err| err.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new());

    // It would be seen.
    let operation = "/operations/orders-service.receive.ticket.created";
    for (place, wrong) in [
        (format!("{operation}/action"), json!("listen")),
        (format!("{operation}/bindings/nats/queue"), json!(7)),
        (format!("{operation}/channel"), json!("ticket.created")),
        ("/channels/ticket.created/address".to_owned(), json!(7)),
        ("/info/version".to_owned(), Value::Null),
    ] {
        let mut broken = document.clone();
        *broken.pointer_mut(&place).unwrap() = wrong;
        assert!(!meta.is_valid(&broken), "{place}");
    }
}

#[tokio::test]
async fn catalogue_page_opens_from_the_disk_and_complains_of_nothing() {
    let Some(browser) = Browser::found() else {
        return;
    };

    let opened = browser.open(&browser.page(&catalogue())).await;

    assert_eq!(opened.console, [""; 0]);
    // What only the script makes: it has run.
    let buttons = opened.dom.matches(">Copy</button>").count();
    assert_eq!(buttons, 2 * Subjects::ALL.len());

    // It would be seen.
    let broken = catalogue().replace("querySelectorAll(\".copy\")", "querySelectorAll(\".copy\"");
    let opened = browser.open(&browser.page(&broken)).await;
    assert!(
        opened.console[0].contains("SyntaxError"),
        "{:?}",
        opened.console
    );
    let fetching = catalogue().replace(
        "</header>",
        "<img src=\"https://127.0.0.1:1/x.png\"></header>",
    );
    let opened = browser.open(&browser.page(&fetching)).await;
    assert!(
        opened.console[0].contains("Content Security Policy"),
        "{:?}",
        opened.console
    );
}

#[tokio::test]
async fn catalogue_page_shows_every_channel_at_the_width_of_a_phone() {
    let Some(browser) = Browser::found() else {
        return;
    };

    let seen = browser.on_a_phone(&catalogue()).await;

    let channels: Vec<_> = Subjects::ALL
        .iter()
        .map(|channel| channel.as_str())
        .collect();
    assert_eq!(seen["width"], 390, "it can be scrolled sideways");
    assert_eq!(seen["titles"], json!(channels));
    assert_eq!(seen["links"], json!(channels));
    assert_eq!(seen["buttons"], 2 * channels.len());
    let picture = seen["picture"].as_array().unwrap();
    for channel in channels {
        assert!(
            picture.contains(&json!(channel)),
            "{channel} is not in the picture"
        );
    }
    let button = seen["button"].as_str().unwrap();
    assert!(["Copied", "Selected"].contains(&button), "{button}");

    // It would be seen.
    let wide = catalogue().replace("<h1>Events</h1>", "<h1 style=\"width: 500px\">Events</h1>");
    assert!(browser.on_a_phone(&wide).await["width"].as_u64().unwrap() > 390);
}

fn catalogue() -> String {
    let mut documents = schemas::documents(|subject| Some(sample::example(subject))).unwrap();
    documents.extend(asyncapi::<Subjects>(&documents));
    site::<Subjects>(&documents)[PAGE].clone()
}

/// A browser without a window.
struct Browser {
    program: PathBuf,
    folder: TempDir,
}

/// What came of a page.
struct Opened {
    /// The document after its scripts.
    dom: String,
    /// What the browser or the page has complained of.
    console: Vec<String>,
}

impl Browser {
    /// `None`: there is none, and the test is left out.
    fn found() -> Option<Self> {
        let program = chromium()?;
        let folder = tempfile::tempdir().unwrap();
        Some(Self { program, folder })
    }

    /// Writes a page to the disk.
    fn page(&self, html: &str) -> PathBuf {
        let page = self.folder.path().join("index.html");
        fs::write(&page, html).unwrap();
        page
    }

    async fn open(&self, page: &Path) -> Opened {
        let mut browser = Command::new(&self.program);
        browser
            // Containers and root have no sandbox; what is opened is our own.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args(["--enable-logging=stderr", "--virtual-time-budget=5000"])
            .arg(format!(
                "--user-data-dir={}",
                self.folder.path().join("profile").display()
            ))
            .arg("--dump-dom")
            .arg(format!("file://{}", page.display()));
        let done = finish(browser).await;
        assert!(done.status.success(), "{}", done.stderr);
        let console = done.stderr.lines().filter(|line| line.contains("CONSOLE"));
        Opened {
            console: console.map(str::to_owned).collect(),
            dom: done.stdout,
        }
    }

    /// What is seen of a page in a frame as wide as a phone.
    async fn on_a_phone(&self, html: &str) -> Value {
        // Nothing in the string may end the script that holds it.
        let string = json!(html)
            .to_string()
            .replace("</", "<\\/")
            .replace("<!", "<\\!");
        let probe = include_str!("documents/probe.html")
            .replace("srcdoc = PAGE", &format!("srcdoc = {string}"));
        let opened = self.open(&self.page(&probe)).await;
        let (_, seen) = opened.dom.split_once("<pre id=\"seen\">").unwrap();
        let (seen, _) = seen.split_once("</pre>").unwrap();
        serde_json::from_str(seen).unwrap_or_else(|_| panic!("{seen:?}: {:?}", opened.console))
    }
}
