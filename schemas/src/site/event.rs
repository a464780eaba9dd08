//! What the page says of one event.

use common::{Contract, Form, SubjectSet, Topology};
use serde_json::Value;

use super::html::{escape, prose};
use super::{delivery, fields};
use crate::asyncapi::example_headers;
use crate::documents::{Documents, SCHEMAS};

/// The section of one event.
pub(super) fn section<S: SubjectSet>(
    contract: &Contract<S>,
    topology: &Topology,
    documents: &Documents,
) -> String {
    let Some((newest, earlier)) = contract.forms.split_last() else {
        return String::new();
    };
    let readers: Vec<_> = contract
        .consumers
        .iter()
        .map(|group| service(group.as_str()))
        .collect();
    let earlier: String = earlier
        .iter()
        .rev()
        .map(|form| earlier_form(contract, form, documents))
        .collect();
    format!(
        "<section class=\"event\" id=\"{anchor}\">\n<h2><a href=\"#{anchor}\"><code>{channel}</code></a></h2>\n\
         {about}<dl class=\"facts\">\n\
         <dt>From</dt><dd>{from}</dd>\n<dt>To</dt><dd>{to}</dd>\n\
         <dt>Subject</dt><dd><code>{channel}.&lt;key&gt;</code></dd>\n\
         <dt>Stream</dt><dd><code>{stream}</code>, {kept}</dd>\n\
         <dt>Form</dt><dd>{form}</dd>\n<dt>Order</dt><dd>{order}</dd>\n</dl>\n\
         {fields}{example}{earlier}{delivery}</section>\n",
        anchor = escape(&contract.file_stem),
        channel = escape(contract.subject.as_str()),
        about = prose(newest.schema["description"].as_str().unwrap_or_default()),
        from = service(contract.producer.as_str()),
        to = readers.join(" "),
        stream = escape(contract.stream.as_str()),
        kept = delivery::kept(contract, topology),
        form = form_link(contract, newest),
        order = if contract.versioned {
            "by the revision of its key, which each event carries"
        } else {
            "none: the events carry no revision"
        },
        fields = fields::table(&newest.schema),
        example = example(contract, newest, documents),
        delivery = delivery::readers(contract, topology),
    )
}

fn service(name: &str) -> String {
    format!("<span class=\"service\">{}</span>", escape(name))
}

/// The number of a form, and its file.
fn form_link<S: SubjectSet>(contract: &Contract<S>, form: &Form) -> String {
    format!(
        "{} of {}: <a href=\"{}\">JSON Schema</a>",
        form.version,
        contract.forms.len(),
        escape(&file(contract, form)),
    )
}

fn file<S: SubjectSet>(contract: &Contract<S>, form: &Form) -> String {
    format!("{SCHEMAS}{}.v{}.json", contract.file_stem, form.version)
}

/// What may still be in the stream.
fn earlier_form<S: SubjectSet>(
    contract: &Contract<S>,
    form: &Form,
    documents: &Documents,
) -> String {
    // Without headers: the key is told by the newest form only.
    let example = payload(contract, form, documents);
    let example = example.map(|event| to_copy("Payload", &format!("{event:#}")));
    format!(
        "<details>\n<summary>Earlier form {}</summary>\n{}<p>{}</p>\n{}{}</details>\n",
        form.version,
        prose(form.schema["description"].as_str().unwrap_or_default()),
        form_link(contract, form),
        fields::table(&form.schema),
        example.unwrap_or_default(),
    )
}

/// The example that the schema's file has.
fn payload<S: SubjectSet>(
    contract: &Contract<S>,
    form: &Form,
    documents: &Documents,
) -> Option<Value> {
    let schema = documents.get(&file(contract, form))?;
    let mut schema: Value = serde_json::from_str(schema).ok()?;
    schema.pointer_mut("/examples/0").map(Value::take)
}

/// An event to copy, if the schema's file has one.
fn example<S: SubjectSet>(contract: &Contract<S>, form: &Form, documents: &Documents) -> String {
    let Some(event) = payload(contract, form, documents) else {
        return String::new();
    };
    let headers = example_headers(contract.subject, &contract.headers(form), &event);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()))
        .collect();
    format!(
        "<div class=\"examples\">\n{}{}</div>\n",
        to_copy("Payload", &format!("{event:#}")),
        to_copy("Headers", &headers.join("\n")),
    )
}

fn to_copy(title: &str, text: &str) -> String {
    format!(
        "<figure class=\"copy\">\n<figcaption>{title}</figcaption>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</figure>\n",
        escape(text),
    )
}
