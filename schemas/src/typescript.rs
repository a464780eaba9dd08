//! The events as TypeScript: types from their schemas, and the list as constants.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use common::{Contract, Form, SubjectSet};
use serde_json::{Value, json};
use xtask::command;
use xtask::packages::{Node, PackagesError};

use crate::documents::Documents;

/// Where the TypeScript is, in the folder of the generated files.
pub const TYPESCRIPT: &str = "typescript/";

/// The generator, as a module that Node runs among its packages.
const GENERATOR: &str = include_str!("../npm/typescript.mjs");
/// How long the generator may take.
const GENERATE_WITHIN: Duration = Duration::from_mins(2);

/// Why there is no TypeScript.
#[derive(Debug, thiserror::Error)]
pub enum TypeScriptError {
    /// The generator's packages cannot be had.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// The generator was not run to its end.
    #[error("generator of TypeScript did not run")]
    Run(#[source] io::Error),
    /// The generator did not take a schema.
    #[error("generator of TypeScript said: {0}")]
    Refused(String),
}

/// The types of every event of the list `S`, made by `json-schema-to-typescript`, and an index of
/// them with the list itself.
///
/// # Errors
///
/// [`TypeScriptError`] if there is no Node, or it does not do it.
pub fn typescript<S: SubjectSet>() -> Result<Documents, TypeScriptError> {
    let contracts = Contract::<S>::all();
    let sources: Vec<_> = contracts.iter().flat_map(sources).collect();
    let texts = generate(&sources)?;
    let mut texts = texts.iter();
    let mut files = Documents::new();
    for contract in &contracts {
        for form in &contract.forms {
            let types: String = texts.by_ref().take(2).map(String::as_str).collect();
            let path = format!("{TYPESCRIPT}{}.ts", module(contract, form));
            files.insert(path, format!("{BANNER}{types}"));
        }
    }
    files.insert(format!("{TYPESCRIPT}index.ts"), index(&contracts));
    Ok(files)
}

const BANNER: &str =
    "// Generated from the schemas by `cargo run -p schemas -- generate`. Do not edit.\n\n";

/// Payload and headers of each form, in this order.
fn sources<S: SubjectSet>(contract: &Contract<S>) -> Vec<Value> {
    let of_form = |form: &Form| {
        let name = type_name(form);
        let mut headers = contract.headers(form);
        let headers_name = format!("{name}Headers");
        headers["title"] = headers_name.as_str().into();
        [
            json!({ "name": name, "schema": form.schema }),
            json!({ "name": headers_name, "schema": headers }),
        ]
    };
    contract.forms.iter().flat_map(of_form).collect()
}

/// The name of the Rust type.
fn type_name(form: &Form) -> &str {
    form.schema["title"].as_str().unwrap_or("Event")
}

/// `ticket.created.v1`.
fn module<S: SubjectSet>(contract: &Contract<S>, form: &Form) -> String {
    format!("{}.v{}", contract.file_stem, form.version)
}

fn generate(sources: &[Value]) -> Result<Vec<String>, TypeScriptError> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/npm"));
    let node = Node::with_packages(folder)?;
    let input = tempfile::NamedTempFile::new().map_err(TypeScriptError::Run)?;
    serde_json::to_writer(&input, sources)
        .map_err(io::Error::from)
        .map_err(TypeScriptError::Run)?;
    let mut generator = node.command();
    generator
        .args(["--input-type=module", "--eval", GENERATOR, "--"])
        .arg(input.path());
    let done = command::run(&mut generator, GENERATE_WITHIN).map_err(TypeScriptError::Run)?;
    let texts: Option<Vec<String>> = serde_json::from_str(&done.stdout).ok();
    match texts {
        Some(texts) if done.status.success() && texts.len() == sources.len() => Ok(texts),
        _ => Err(TypeScriptError::Refused(done.last_words().to_owned())),
    }
}

/// The list, and the newest form of every event.
fn index<S: SubjectSet>(contracts: &[Contract<S>]) -> String {
    let newest: Vec<_> = contracts
        .iter()
        .filter_map(|contract| Some((contract, contract.forms.last()?)))
        .collect();
    let each = |line: &dyn Fn(&Contract<S>, &Form, &str) -> String| {
        newest
            .iter()
            .fold(String::new(), |mut lines, (contract, form)| {
                let _ = writeln!(lines, "{}", line(contract, form, type_name(form)));
                lines
            })
    };
    let channel = |contract: &Contract<S>| contract.subject.as_str();

    let imports = each(&|contract, form, name| {
        let module = module(contract, form);
        format!("import type {{ {name}, {name}Headers }} from \"./{module}.js\";")
    });
    let exports = each(&|_, _, name| format!("  {name},\n  {name}Headers,"));
    let subjects = each(&|contract, form, name| {
        let about = form.schema["description"].as_str().unwrap_or_default();
        let about = about
            .lines()
            .next()
            .unwrap_or_default()
            .replace("*/", "*\\/");
        format!("  /** {about} */\n  {name}: \"{}\",", channel(contract))
    });
    let streams =
        each(&|contract, _, _| format!("  \"{}\": \"{}\",", channel(contract), contract.stream));
    let events = each(&|contract, _, name| format!("  \"{}\": {name};", channel(contract)));
    let headers = each(&|contract, _, name| format!("  \"{}\": {name}Headers;", channel(contract)));
    format!(
        "{BANNER}{imports}\nexport type {{\n{exports}}};\n\n\
         /** Every channel. The NATS subject of an event is its channel, a dot, and its key. */\n\
         export const Subjects = {{\n{subjects}}} as const;\n\n\
         /** A channel. */\n\
         export type Subject = (typeof Subjects)[keyof typeof Subjects];\n\n\
         /** The stream that stores the events of each channel. */\n\
         export const Streams = {{\n{streams}}} as const satisfies Record<Subject, string>;\n\n\
         /** What each channel carries. */\n\
         export interface Events {{\n{events}}}\n\n\
         /** What travels beside the payload on each channel. */\n\
         export interface EventHeaders {{\n{headers}}}\n"
    )
}
