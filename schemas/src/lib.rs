//! The schemas of the events: generated from the Rust types, committed under `schemas/generated`,
//! and checked to be what the types say.

mod asyncapi;
mod check;
mod documents;
mod json;
mod list;
mod rules;
mod site;
mod typescript;

pub use asyncapi::{ASYNCAPI, asyncapi};
pub use check::{Difference, compare};
pub use documents::{Documents, GenerateError, documents, write};
pub use list::{UnknownService, list_all, list_service};
pub use rules::{BrokenRule, Rule};
pub use site::{PAGE, site};
pub use typescript::{TYPESCRIPT, TypeScriptError, typescript};
