//! The generated documents, judged by others: AsyncAPI by its official meta-schema.

use std::fs;

use integration_tests::foreign::{generated, node_packages};
use serde_json::{Value, json};

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
